package main

import (
	"log"

	"go-micro.dev/v4"
)

func main() {
	service := micro.NewService(micro.Name("service"))
	service.Init()
	if err := service.Run(); err != nil {
		log.Print(err)
	}
}
