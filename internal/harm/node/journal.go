package node

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// journal is a file with a line for every execution that began. Each line is one
// write to a file opened for append, so what was written survives SIGKILL, and
// instances may share the file.
type journal struct{ file *os.File }

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("node: open the journal: %w", err)
	}
	return &journal{f}, nil
}

func (j *journal) begin(endpoint, id string) error {
	if _, err := fmt.Fprintf(j.file, "%s %s\n", endpoint, id); err != nil {
		return fmt.Errorf("node: write the journal: %w", err)
	}
	return nil
}

// ReadJournal counts the executions in a journal, by endpoint and order.
// Orders whose id begins with except are left out.
func ReadJournal(path, except string) (map[string]int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]int{}, nil // nothing was executed
	}
	if err != nil {
		return nil, fmt.Errorf("node: read the journal: %w", err)
	}
	count := make(map[string]int)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		_, id, whole := strings.Cut(lines.Text(), " ")
		if !whole {
			return nil, fmt.Errorf("node: journal line %q: must be an endpoint and an id", lines.Text())
		}
		if !strings.HasPrefix(id, except) {
			count[lines.Text()]++
		}
	}
	return count, nil
}
