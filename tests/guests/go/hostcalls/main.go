// Host functions from Go: handles and raw numbers.
package main

import (
	"fmt"

	"github.com/extism/go-pdk"
)

func main() {}

//go:wasmimport extism:host/user upper
func upper(text uint64) uint64

//go:wasmimport extism:host/user same
func same(text uint64) uint64

//go:wasmimport extism:host/user add
func add(left, right int64) int64

//go:wasmimport extism:host/user mix
func mix(a int32, b int64, c float32, d float64) float64

//go:wasmimport test:elsewhere greet
func greet(name uint64) uint64

// call_upper has the host upper-case the input.
//
//go:wasmexport call_upper
func callUpper() int32 {
	text := pdk.AllocateString(pdk.InputString())
	defer text.Free()
	pdk.OutputString(pdk.ParamString(upper(text.Offset())))
	return 0
}

// call_same gets its own block back, whether freed or not.
//
//go:wasmexport call_same
func callSame() int32 {
	text := pdk.AllocateString(pdk.InputString())
	answer := same(text.Offset())
	text.Free()
	found := pdk.FindMemory(answer)
	pdk.OutputString(fmt.Sprintf("%t %d", answer == text.Offset(), found.Length()))
	return 0
}

// call_numbers passes raw integers and floats.
//
//go:wasmexport call_numbers
func callNumbers() int32 {
	sum := add(-5, 1<<62)
	mixed := mix(-1, 1<<40, 0.5, 0.25)
	pdk.OutputString(fmt.Sprintf("%d %.2f", sum, mixed))
	return 0
}

// call_elsewhere calls a function of another namespace.
//
//go:wasmexport call_elsewhere
func callElsewhere() int32 {
	name := pdk.AllocateString(pdk.InputString())
	defer name.Free()
	pdk.OutputString(pdk.ParamString(greet(name.Offset())))
	return 0
}
