package grpcwalkin_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/walkin-go/walkin/adapters/grpcwalkin"
)

// TestMethodNames holds that a method has one name. Older servers served a call whose
// path has no slash, past each rule about its method (CVE-2026-33186).
func TestMethodNames(t *testing.T) {
	w := newWorld(t, grpcwalkin.User)
	guard := grpcwalkin.Guard{Middleware: w.wk, Level: func(method string) grpcwalkin.Level {
		if method == "/notes.Notes/Publish" {
			return grpcwalkin.Permanent
		}
		return grpcwalkin.Anybody
	}}
	for method, want := range map[string]codes.Code{
		"/notes.Notes/List":    codes.OK,
		"/notes.Notes/Publish": codes.Unauthenticated,
		"notes.Notes/Publish":  codes.Unimplemented,
		"Publish":              codes.Unimplemented,
		"":                     codes.Unimplemented,
	} {
		served := 0
		_, err := guard.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
			served++
			return nil, nil
		})
		streamErr := guard.Stream(nil, callOf{ctx: t.Context()}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
			served++
			return nil
		})
		if status.Code(err) != want || status.Code(streamErr) != want || (served == 2) != (want == codes.OK) || served == 1 {
			t.Errorf("%q: got %v and %v, served %d times, want %v", method, err, streamErr, served, want)
		}
	}
}

type callOf struct {
	grpc.ServerStream
	ctx context.Context
}

func (c callOf) Context() context.Context { return c.ctx }
