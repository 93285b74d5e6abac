// A command in Go: the host calls _start, main runs once and the program exits.
package main

//buildmode: exe

import (
	"fmt"
	"os"

	"github.com/extism/go-pdk"
)

func main() {
	input := pdk.InputString()
	pdk.OutputString(fmt.Sprintf("main %s", input))
	if input == "fail" {
		pdk.SetErrorString("main failed")
		os.Exit(3)
	}
}
