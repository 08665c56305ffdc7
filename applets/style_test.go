package applets_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// source calls f for each Go file of the tree.
func source(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		f(rel, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, path string, text []byte) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	source(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		dir := filepath.Dir(path)
		documented[dir] = documented[dir] || parse(t, path, text).Doc != nil
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

func TestExportedFunctionsAreDocumented(t *testing.T) {
	t.Parallel()
	source(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "testdata") {
			return
		}
		for _, d := range parse(t, path, text).Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Doc == nil && seen(f) {
				t.Errorf("%s: %s is not documented", path, f.Name.Name)
			}
		}
	})
}

// seen says whether a caller in another package can meet f. String and Error
// say what they do by their names.
func seen(f *ast.FuncDecl) bool {
	if !f.Name.IsExported() || f.Name.Name == "String" || f.Name.Name == "Error" {
		return false
	}
	if f.Recv == nil {
		return true
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, ok := typ.(*ast.Ident)
	return ok && name.IsExported()
}

// Nothing stands in for what is to be written some day, and no test waits for
// time to pass. The words are put together here, so as not to find themselves.
func TestNothingStandsIn(t *testing.T) {
	t.Parallel()
	marks := regexp.MustCompile(`\b(` + strings.Join([]string{
		"TO" + "DO", "FIX" + "ME", "XX" + "X", "not (yet )?" + "implemented", "un" + "implemented", "place" + "holder",
	}, "|") + `)\b`)
	sleep := regexp.MustCompile(`\btime\.` + `Sleep\(`)
	source(t, func(path string, text []byte) {
		if m := marks.Find(text); m != nil {
			t.Errorf("%s holds %q", path, m)
		}
		if strings.HasSuffix(path, "_test.go") && sleep.Match(text) {
			t.Errorf("%s sleeps instead of waiting for a condition", path)
		}
		if n := bytes.Count(text, []byte("\n")); n > 450 {
			t.Errorf("%s has %d lines; a second idea is waiting for a file of its own", path, n)
		}
	})
}

// What cannot exit is to be readable in one sitting, so it does not grow unseen.
// The files of the server's end of the protocol are not counted, nor are comments.
func TestTheKeeperDoesNotGrow(t *testing.T) {
	t.Parallel()
	const most = 3540
	servers := map[string]bool{"client.go": true, "calls.go": true, "heard.go": true}
	lines := 0
	source(t, func(path string, text []byte) {
		if filepath.Dir(path) == "supervisor/keeper" && !strings.HasSuffix(path, "_test.go") && !servers[filepath.Base(path)] {
			lines += codeLines(path, text)
		}
	})
	if lines > most {
		t.Errorf("the keeper has %d lines of code, want at most %d", lines, most)
	}
}

// codeLines counts the lines on which more than a comment begins.
func codeLines(path string, text []byte) int {
	files := token.NewFileSet()
	file := files.AddFile(path, -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, 0)
	lines := map[int]bool{}
	for {
		pos, tok, word := s.Scan()
		if tok == token.EOF {
			return len(lines)
		}
		if word != "\n" { // a semicolon that is not written
			lines[file.Line(pos)] = true
		}
	}
}
