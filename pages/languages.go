package pages

import (
	"net/http"
	"strings"

	"golang.org/x/text/language"

	"github.com/walkin-go/walkin/texts"
)

const maxAcceptLanguage = 200 // bytes; browsers send fewer, and parsing costs

// Languages returns a function for walkin.Config.Texts. The function chooses the
// catalogue that fits the Accept-Language header best, or the first if none fits.
// Without catalogues it chooses among all of package texts.
func Languages(catalogues ...*texts.Catalogue) func(*http.Request) *texts.Catalogue {
	if len(catalogues) == 0 {
		catalogues = texts.All()
	}
	tags := make([]language.Tag, len(catalogues))
	for i, c := range catalogues {
		tags[i] = language.Make(c.Language())
	}
	matcher := language.NewMatcher(tags)
	return func(r *http.Request) *texts.Catalogue {
		header := r.Header.Get("Accept-Language")
		if len(header) > maxAcceptLanguage {
			header = header[:maxAcceptLanguage]
		}
		var known []string // one that cannot be read must not hide the others
		for part := range strings.SplitSeq(header, ",") {
			if _, _, err := language.ParseAcceptLanguage(part); err == nil {
				known = append(known, part)
			}
		}
		wanted, _, err := language.ParseAcceptLanguage(strings.Join(known, ","))
		if err != nil {
			return catalogues[0]
		}
		for _, tag := range wanted {
			if _, i, confidence := matcher.Match(tag); confidence > language.No {
				return catalogues[i]
			}
		}
		return catalogues[0]
	}
}
