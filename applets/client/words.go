package client

// nearest returns the word of list that is closest to word, "" when none is
// close: at most two letters more, fewer, other or swapped, and no more than half
// of the word.
func nearest(word string, list []string) string {
	best, least := "", 3
	for _, w := range list {
		if d := distance(word, w); d < least && 2*d <= len(word) {
			best, least = w, d
		}
	}
	return best
}

// distance counts the edits between two words (Damerau-Levenshtein, adjacent
// letters swapped count one).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
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
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
