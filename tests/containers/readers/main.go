// SPDX-License-Identifier: Apache-2.0

// Readers prints, as JSON, what a Dockerfile or a compose file says to the very code that Docker
// reads it with: BuildKit's parser with its lint rules, and the loader of `docker compose`.
//
//	readers dockerfile FILE    exit 1 with the parser's words if it is none
//	readers compose FILE       exit 1 with the loader's words if it breaks the schema
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

type command struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

type stage struct {
	Name     string    `json:"name"`
	Base     string    `json:"base"`
	Commands []command `json:"commands"`
}

type dockerfile struct {
	Arguments []string `json:"arguments"`
	Stages    []stage  `json:"stages"`
	Warnings  []string `json:"warnings"`
}

func readDockerfile(path string) (*dockerfile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	tree, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	found := &dockerfile{Arguments: []string{}, Warnings: []string{}}
	for _, item := range tree.Warnings {
		found.Warnings = append(found.Warnings, item.Short)
	}
	rules := linter.New(&linter.Config{
		Warn: func(rule, _, _, what string, _ []parser.Range) {
			found.Warnings = append(found.Warnings, rule+": "+what)
		},
	})
	stages, arguments, err := instructions.Parse(tree.AST, rules)
	if err != nil {
		return nil, err
	}
	for _, item := range arguments {
		found.Arguments = append(found.Arguments, item.String())
	}
	for _, item := range stages {
		one := stage{Name: item.Name, Base: item.BaseName, Commands: []command{}}
		for _, part := range item.Commands {
			one.Commands = append(one.Commands, command{
				Name: strings.ToUpper(part.Name()), Text: fmt.Sprint(part),
			})
		}
		found.Stages = append(found.Stages, one)
	}
	return found, nil
}

func readCompose(path string) (any, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	options, err := cli.NewProjectOptions([]string{path})
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project, nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: readers dockerfile|compose FILE")
		os.Exit(2)
	}
	var found any
	var err error
	switch os.Args[1] {
	case "dockerfile":
		found, err = readDockerfile(os.Args[2])
	case "compose":
		found, err = readCompose(os.Args[2])
	default:
		err = fmt.Errorf("no reader %q", os.Args[1])
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
