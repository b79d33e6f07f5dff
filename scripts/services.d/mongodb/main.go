// MongoDB's protocol for tests: FerretDB 1, embedded, on SQLite.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	address := flag.String("address", "127.0.0.1:27017", "where it listens")
	data := flag.String("data", "", "the folder of its databases")
	flag.Parse()
	// FerretDB wants a folder's URL with its slash.
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *address},
		Handler:   "sqlite",
		SQLiteURL: "file:" + *data + "/",
	})
	if err != nil {
		log.Fatal(err)
	}
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := server.Run(stopped); err != nil {
		log.Fatal(err)
	}
}
