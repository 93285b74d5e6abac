// Everything that the Go PDK offers a plugin, one export each: a reactor with Go's own runtime.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/extism/go-pdk"
)

// main is needed by the build mode; a reactor never runs it.
func main() {}

// started is set while the runtime initialises: exports before that would see the zero value.
var started = time.Now()

// fail turns an error into the PDK's error register and code 1.
func fail(err error) int32 {
	pdk.SetError(err)
	return 1
}

//go:wasmexport echo
func echo() int32 {
	pdk.Output(pdk.Input())
	return 0
}

// count_vowels answers {"count":N}, and keeps a total over all calls in a var.
//
//go:wasmexport count_vowels
func countVowels() int32 {
	count := 0
	for _, letter := range pdk.InputString() {
		if strings.ContainsRune("aeiouAEIOU", letter) {
			count++
		}
	}
	total := pdk.GetVarInt("total") + count
	pdk.SetVarInt("total", total)
	if err := pdk.OutputJSON(map[string]int{"count": count, "total": total}); err != nil {
		return fail(err)
	}
	return 0
}

// fails sets the error that its input says and returns 1.
//
//go:wasmexport fails
func fails() int32 {
	return fail(errors.New("guest says no: " + pdk.InputString()))
}

// panics is a Go panic: its text goes to stderr, the program exits with status 2.
//
//go:wasmexport panics
func panics() int32 {
	panic(pdk.InputString())
}

// exits ends the program with the status that the input says.
//
//go:wasmexport exits
func exits() int32 {
	status, err := strconv.Atoi(pdk.InputString())
	if err != nil {
		return fail(err)
	}
	os.Exit(status)
	return 0
}

// initialized says whether package variables were set before the first call.
//
//go:wasmexport initialized
func initialized() int32 {
	pdk.OutputString(strconv.FormatBool(!started.IsZero()))
	return 0
}

// config_value answers the config value of the key in the input, or (none).
//
//go:wasmexport config_value
func configValue() int32 {
	value, found := pdk.GetConfig(pdk.InputString())
	if !found {
		value = "(none)"
	}
	pdk.OutputString(value)
	return 0
}

// vars sets, reads and removes a var.
//
//go:wasmexport vars
func vars() int32 {
	before := pdk.GetVar("v")
	pdk.SetVar("v", pdk.Input())
	stored := string(pdk.GetVar("v"))
	pdk.RemoveVar("v")
	after := pdk.GetVar("v")
	pdk.OutputString(fmt.Sprintf("%t %s %t", before == nil, stored, after == nil))
	return 0
}

// logs writes one line for every level.
//
//go:wasmexport logs
func logs() int32 {
	levels := []pdk.LogLevel{pdk.LogTrace, pdk.LogDebug, pdk.LogInfo, pdk.LogWarn, pdk.LogError}
	for _, level := range levels {
		pdk.Log(level, fmt.Sprintf("level %d %s", level, pdk.InputString()))
	}
	return 0
}

// http sends {"url","method","headers","body"} and answers {"status","headers","body"}.
//
//go:wasmexport http
func http() int32 {
	var asked struct {
		URL     string
		Method  string
		Headers map[string]string
		Body    string
	}
	if err := pdk.InputJSON(&asked); err != nil {
		return fail(err)
	}
	methods := map[string]pdk.HTTPMethod{
		"": pdk.MethodGet, "GET": pdk.MethodGet, "POST": pdk.MethodPost,
		"PUT": pdk.MethodPut, "DELETE": pdk.MethodDelete,
	}
	request := pdk.NewHTTPRequest(methods[asked.Method], asked.URL)
	for name, value := range asked.Headers {
		request.SetHeader(name, value)
	}
	if asked.Body != "" {
		request.SetBody([]byte(asked.Body))
	}
	reply := request.Send()
	answer := map[string]any{
		"status": reply.Status(), "headers": reply.Headers(), "body": string(reply.Body()),
	}
	if err := pdk.OutputJSON(answer); err != nil {
		return fail(err)
	}
	return 0
}

// mirror_json takes {"x","y"} and answers both negated.
//
//go:wasmexport mirror_json
func mirrorJSON() int32 {
	var point struct {
		X int64   `json:"x"`
		Y float64 `json:"y"`
	}
	if err := pdk.InputJSON(&point); err != nil {
		return fail(err)
	}
	point.X, point.Y = -point.X, -point.Y
	if err := pdk.OutputJSON(point); err != nil {
		return fail(err)
	}
	return 0
}

// surroundings answers how many arguments and variables there are.
//
//go:wasmexport surroundings
func surroundings() int32 {
	seen, err := json.Marshal(map[string]int{"args": len(os.Args), "env": len(os.Environ())})
	if err != nil {
		return fail(err)
	}
	pdk.Output(seen)
	return 0
}

// sleep_ms sleeps so long and says whether the clock agrees.
//
//go:wasmexport sleep_ms
func sleepMs() int32 {
	wait, err := strconv.Atoi(pdk.InputString())
	if err != nil {
		return fail(err)
	}
	start := time.Now()
	time.Sleep(time.Duration(wait) * time.Millisecond)
	slept := time.Since(start) >= time.Duration(wait)*time.Millisecond
	pdk.OutputString(fmt.Sprintf("slept=%t", slept))
	return 0
}

// goroutines runs some, which Go's scheduler interleaves on the one thread there is.
//
//go:wasmexport goroutines
func goroutines() int32 {
	sums := make(chan int)
	for part := 0; part < 4; part++ {
		go func() {
			sum := 0
			for number := part * 250; number < (part+1)*250; number++ {
				sum += number
				runtime.Gosched()
			}
			sums <- sum
		}()
	}
	total := 0
	for part := 0; part < 4; part++ {
		total += <-sums
	}
	pdk.OutputString(strconv.Itoa(total))
	return 0
}

// collect makes garbage worth so many MiB as the input says and lets the collector run.
//
//go:wasmexport collect
func collect() int32 {
	count, err := strconv.Atoi(pdk.InputString())
	if err != nil {
		return fail(err)
	}
	sum := 0
	for turn := 0; turn < count; turn++ {
		block := make([]byte, 1<<20)
		block[turn%len(block)] = 1
		sum += len(block)
	}
	runtime.GC()
	pdk.OutputString(strconv.Itoa(sum >> 20))
	return 0
}
