package control

import (
	"encoding/json"
	"errors"
	"net/http"
)

// NewHandler answers GET / with a Report and carries out POST /INSTANCE/ACTION. It lets
// in whoever reaches it: serve it on the loopback interface, below a path that nobody can
// guess.
func NewHandler(fleet Fleet) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(fleet.Look()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /{instance}/{action}", func(w http.ResponseWriter, r *http.Request) {
		err := fleet.Do(r.Context(), r.PathValue("instance"), Action(r.PathValue("action")))
		if err != nil {
			http.Error(w, err.Error(), statusOf(err))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, ErrNotNow):
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}
