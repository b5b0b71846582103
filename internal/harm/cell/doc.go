// Package cell names what the matrix varies, and which values cannot meet.
package cell
