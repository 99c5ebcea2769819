package supabasewalkin

// Patterns returns those of the handler's mux.
func Patterns(h *Handler) []string { return h.patterns }
