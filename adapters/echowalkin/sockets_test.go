package echowalkin_test

import (
	"net/http"
	"time"

	coderws "github.com/coder/websocket"
	gorillaws "github.com/gorilla/websocket"
)

// The two libraries, as the suite's sockets: each sends a text and hangs up.

func gorilla(w http.ResponseWriter, r *http.Request, text string) {
	conn, err := new(gorillaws.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return // it has answered, and the suite sees that
	}
	_ = conn.WriteMessage(gorillaws.TextMessage, []byte(text))
	_ = conn.WriteControl(gorillaws.CloseMessage, nil, time.Now().Add(time.Second))
	_ = conn.Close()
}

func coder(w http.ResponseWriter, r *http.Request, text string) {
	conn, err := coderws.Accept(w, r, nil)
	if err != nil {
		return
	}
	_ = conn.Write(r.Context(), coderws.MessageText, []byte(text))
	_ = conn.CloseNow()
}
