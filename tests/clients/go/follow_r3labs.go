package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	client := sse.NewClient(os.Args[1], sse.ClientMaxBufferSize(4<<20))
	var lastID []byte
	follow := func(event *sse.Event) {
		if !json.Valid(event.ID) || len(event.Event) > 0 && !json.Valid(event.Data) {
			client.LastEventID.Store(lastID) // Half an event: the connection broke here.
			return
		}
		if string(event.Event) == "message" {
			fmt.Println(string(event.Data))
		}
		lastID = event.ID
	}
	for {
		err := client.SubscribeRaw(follow)
		fmt.Fprintln(os.Stderr, "again in 2 seconds:", err)
		time.Sleep(2 * time.Second)
	}
}
