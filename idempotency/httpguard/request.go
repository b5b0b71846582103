package httpguard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// Request is a request as the guard compares it. A [idempotency.RecoverFunc] finds
// it in Orphan.Body.
type Request struct {
	// Method, Path and Query are the target.
	Method, Path, Query string
	// ContentType is the header of that name.
	ContentType string
	// Body is the body as it came. Empty if another middleware has read it as a
	// form; Form is that form then.
	Body []byte
	// Form holds the values of a form that another middleware has read, and for
	// each of its files a name and a size.
	Form url.Values
}

// readRequest reads the body up to max bytes, and returns a request that gives the
// handler its body once more.
func readRequest(w http.ResponseWriter, r *http.Request, limit int64) (*Request, *http.Request, error) {
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	var body []byte
	if r.Body != nil && r.Body != http.NoBody {
		var err error
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit)); err != nil {
			return nil, nil, err
		}
	}
	again := r.WithContext(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	return &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		ContentType: r.Header.Get("Content-Type"), Body: body, Form: formOf(r),
	}, again, nil
}

// formOf returns the form of a request whose body somebody has read before.
func formOf(r *http.Request) url.Values {
	if r.PostForm == nil && r.MultipartForm == nil {
		return nil
	}
	form := make(url.Values)
	maps.Copy(form, r.PostForm)
	if r.MultipartForm == nil {
		return form
	}
	maps.Copy(form, r.MultipartForm.Value)
	for name, files := range r.MultipartForm.File {
		for _, file := range files {
			form.Add(name, fmt.Sprintf("%q, %d bytes", file.Filename, file.Size))
		}
	}
	return form
}

// MarshalJSON returns what the fingerprint is made of: target, media type, and the
// body in a form that is the same for the same content.
func (r *Request) MarshalJSON() ([]byte, error) {
	media, parameters, err := mime.ParseMediaType(r.ContentType)
	if err != nil {
		media = r.ContentType
	}
	compared := content{Method: r.Method, Path: r.Path, Query: r.Query, Media: media, Form: r.Form}
	switch {
	case isJSON(media) && json.Valid(r.Body):
		compared.JSON = r.Body
	case media == "multipart/form-data":
		if compared.Parts, err = readParts(r.Body, parameters["boundary"]); err != nil {
			compared.Parts, compared.Body = nil, r.Body
		}
	default:
		compared.Body = r.Body
	}
	return json.Marshal(compared)
}

// content is what a request is compared by. Its form is part of the fingerprints that
// stores keep.
type content struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query"`
	Media  string          `json:"media"`
	Form   url.Values      `json:"form,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"`
	Parts  []part          `json:"parts,omitempty"`
	Body   []byte          `json:"body,omitempty"`
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// part is one of a multipart form, whose boundary a browser invents each time that
// it is submitted.
type part struct {
	Header map[string][]string `json:"header"`
	Body   []byte              `json:"body"`
}

func readParts(body []byte, boundary string) (parts []part, err error) {
	if boundary == "" {
		return nil, http.ErrMissingBoundary
	}
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		p, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{Header: p.Header, Body: content})
	}
}
