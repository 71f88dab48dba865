package config

import (
	"slices"
	"strings"
)

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// tableOf names the table of a key as it is written, "" for none.
func tableOf(key string) string {
	name, _, ok := cutLast(key, '.')
	switch {
	case !ok:
		return ""
	case isArrayTable(name):
		return "[[" + name + "]]"
	}
	return "[" + name + "]"
}

func placeOf(key string) string {
	if t := tableOf(key); t != "" {
		return "below " + t
	}
	return "above the first table"
}

// tables returns the names of all tables, in the order of the reference.
func tables() []string {
	var names []string
	for _, s := range settings() {
		if name, _, ok := cutLast(s.key, '.'); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (l *loader) isTable(name string) bool { return slices.Contains(tables(), name) }

func (l *loader) suggestTable(name string) string {
	if near := nearest(name, tables()); near != "" {
		return "did you mean " + tableOf(near+".") + "?"
	}
	return "there are: " + allTables()
}

// allTables names the tables as they are written.
func allTables() string {
	var all []string
	for _, t := range tables() {
		all = append(all, tableOf(t+"."))
	}
	return strings.Join(all, ", ")
}

// suggestKey finds what a key that does not exist may have meant: a neighbour that is spelled much the same, the same
// key in another table, or one of those that there are.
func (l *loader) suggestKey(key string) string {
	table, _, _ := cutLast(key, '.')
	if !strings.Contains(key, ".") {
		table = ""
	}
	var here, everywhere []string
	for _, s := range settings() {
		t, _, nested := cutLast(s.key, '.')
		if !nested {
			t = ""
		}
		if t == table {
			here = append(here, lastPart(s.key))
		}
		everywhere = append(everywhere, s.key)
	}
	if near := nearest(lastPart(key), here); near != "" {
		return "did you mean " + near + "?"
	}
	if near := nearest(key, tables()); table == "" && near != "" {
		return "did you mean the table " + tableOf(near+".") + "?"
	}
	for _, other := range everywhere {
		if nearest(lastPart(key), []string{lastPart(other)}) != "" && distance(lastPart(key), lastPart(other)) <= 1 {
			return lastPart(other) + " belongs " + placeOf(other)
		}
	}
	switch {
	case len(here) == 0:
		return "there are: " + strings.Join(everywhere, ", ")
	case table == "":
		return "there are: " + strings.Join(here, ", ") + ", and the tables " + allTables()
	}
	return "there are: " + strings.Join(here, ", ")
}

// maxWord is the length up to which a word is compared with others.
const maxWord = 40

// nearest returns the candidate that is spelled most like word, if one is close enough to be meant.
func nearest(word string, candidates []string) string {
	best, least := "", 1+max(1, len(word)/3)
	if len(word) > maxWord {
		return ""
	}
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
