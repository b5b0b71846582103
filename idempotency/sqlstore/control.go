package sqlstore

import (
	"strings"
	"unicode"
)

// ownSavepoint is what the names of the store's own savepoints begin with.
const ownSavepoint = "ONCEMORE"

// controls reports whether a statement would end the transaction, or a savepoint
// that is not the handler's, by its first words: what follows in the same text is
// not looked at.
func controls(query string) bool {
	first, rest := nextWord(query)
	second, afterwards := nextWord(rest)
	switch first {
	case "BEGIN", "START", "COMMIT", "END", "ABORT":
		return true
	case "ROLLBACK":
		return second != "TO" || namesOwnSavepoint(afterwards)
	case "SAVEPOINT", "RELEASE":
		return namesOwnSavepoint(rest)
	case "PREPARE":
		return second == "TRANSACTION"
	case "SET":
		return strings.Contains(strings.ToUpper(rest), "AUTOCOMMIT")
	}
	return false
}

// namesOwnSavepoint reports whether the name of a savepoint that is to follow is one
// of the store's.
func namesOwnSavepoint(rest string) bool {
	word, afterwards := nextWord(rest)
	if word == "SAVEPOINT" {
		rest = afterwards
	}
	name, _ := nextWord(strings.TrimLeft(rest, " \t\r\n\"`"))
	return strings.HasPrefix(name, ownSavepoint)
}

// reads reports whether a statement begins as one that only reads.
func reads(query string) bool {
	switch first, _ := nextWord(query); first {
	case "SELECT", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "VALUES", "TABLE":
		return true
	}
	return false
}

// leavesSession reports whether a statement looks like one that leaves the session
// as it is, apart from the transaction: it writes to a table or reads one, instead
// of calling a function.
func leavesSession(query string) bool {
	switch first, _ := nextWord(query); first {
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "SAVEPOINT", "RELEASE", "ROLLBACK", "TABLE":
		return true
	case "SELECT", "WITH":
		upper := strings.ToUpper(query)
		return strings.Contains(upper, "FROM") && !strings.Contains(upper, "SET_CONFIG")
	}
	return false
}

// nextWord returns the next word of a statement, in upper case, and what comes
// after it. Comments before it are skipped, unless the server executes them:
// /*! and /*M! begin a word.
func nextWord(text string) (word, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\f\v;(")
		var end string
		switch {
		case strings.HasPrefix(text, "--"), strings.HasPrefix(text, "#"):
			end = "\n"
		case strings.HasPrefix(text, "/*!"), strings.HasPrefix(text, "/*M!"):
			text = strings.TrimLeft(text, "/*M!0123456789")
			continue
		case strings.HasPrefix(text, "/*"):
			end = "*/"
		default:
			length := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
			if length < 0 {
				length = len(text)
			}
			return strings.ToUpper(text[:length]), text[length:]
		}
		_, text, _ = strings.Cut(text, end)
	}
}
