package pages

import (
	"encoding/json"
	"errors"
	"html/template"
	"net/http"

	"github.com/google/uuid"

	"github.com/walkin-go/walkin"
	"github.com/walkin-go/walkin/store"
)

// routeDevice serves the pages on which a visitor without an account goes on on a
// second device: "device" and "device/confirm" in the browser that shows the code,
// "device/join" and "device/wait" in the one that opens it, and "device/end" in either.
func (p *Pages) routeDevice() {
	path := p.cfg.Path + "device"
	for at, handler := range map[string]http.Handler{
		path:              p.wk.FormHandler(p.devicePage, p.startHandover),
		path + "/confirm": p.wk.FormHandler(p.devicePage, p.confirmHandover),
		path + "/join":    p.wk.FormHandler(p.joinPage, p.scanHandover),
		path + "/wait":    p.wk.FormHandler(p.waitPage, p.joinHandover),
	} {
		p.mux.HandleFunc(at, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Referrer-Policy", "no-referrer") // the code is in an address
			handler.ServeHTTP(w, r)
		})
	}
	p.mux.Handle("POST "+path+"/end", p.takesJSON(p.rendered(p.wk.FormHandler(p.devicePage, p.endDevice))))
}

// A deviceView is what device.html gets.
type deviceView struct {
	Stage      string
	Link       string
	Code       template.HTML // the QR code of the link
	Device     string
	Sessions   []session // more than one
	EndSession string
}

func (p *Pages) devicePage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	c, ok := walkin.FromContext(r.Context())
	if ok && !c.Anonymous {
		p.say(w, r, form, &view{Title: "handover.title", Data: message{Text: "handover.give_permanent", Links: []link{{"account.title", p.cfg.Path}}}})
		return
	}
	stage, address, svg, device, err := p.cfg.Handover.Offered(r)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.wk.Refuse(w, r, err)
		return
	}
	if !wantsPage(r) {
		p.tell(w, form, map[string]string{"stage": stage, "link": address, "device": device})
		return
	}
	// The image is of the package's own making.
	data := deviceView{Stage: stage, Link: address, Code: template.HTML(svg), Device: p.deviceName(r, device), EndSession: p.cfg.Path + "device/end"}
	if ok && !c.Provisional {
		all, err := p.sessions(r, c)
		if err != nil {
			p.wk.Refuse(w, r, err)
			return
		}
		if len(all) > 1 {
			data.Sessions = all
		}
	}
	v := &view{Title: "handover.title", Data: data}
	v.refused(p.wk.Texts(r), form.Refusal, "device")
	switch {
	case form.Refusal != nil:
	case stage == "waiting" && r.URL.Query().Has("opened"):
		v.Notice = p.wk.Texts(r).Text("handover.not_yet")
	default:
		v.Notice = p.Notice(w, r)
	}
	p.show(w, r, form, "device", v)
}

// deviceName returns what visitors call a kind of device.
func (p *Pages) deviceName(r *http.Request, kind string) string {
	words := p.wk.Texts(r)
	if text := words.Text("device." + kind); kind != "" && text != "device."+kind {
		return text
	}
	return words.Text("sessions.other")
}

func (p *Pages) startHandover(w http.ResponseWriter, r *http.Request) (string, error) {
	if err := p.cfg.Handover.Start(w, r); err != nil {
		return "", err
	}
	if c, ok := walkin.FromContext(r.Context()); ok {
		p.keepDevice(r, c.UserID, c.SessionID)
	}
	return p.cfg.Path + "device", nil
}

func (p *Pages) confirmHandover(w http.ResponseWriter, r *http.Request) (string, error) {
	return p.cfg.Path + "device", p.cfg.Handover.Confirm(w, r, r.PostFormValue("number"))
}

// endDevice ends one session of a visitor without an account, or all others.
func (p *Pages) endDevice(w http.ResponseWriter, r *http.Request) (string, error) {
	c, ok := walkin.FromContext(r.Context())
	if !ok || !c.Anonymous {
		return "", notFound() // those of an account need a fresh proof
	}
	if err := walkin.CheckActor(r.Context()); err != nil {
		return "", err
	}
	id, err := uuid.Parse(r.PostFormValue("session"))
	if err != nil || id == c.SessionID {
		return "", notFound()
	}
	if err := p.wk.EndSession(r.Context(), c.UserID, id); err != nil {
		return "", err
	}
	p.putNotice(w, done["session"])
	return p.cfg.Path + "device", nil
}

// A joinView is what join.html and wait.html get.
type joinView struct {
	Code     string // empty is one that is over
	Number   string
	Occupied bool // the visitor has stored something as another user, and has not agreed to leave it
	Leave    bool // they have
}

// occupied reports whether the visitor would lose something.
func occupied(r *http.Request) bool {
	c, ok := walkin.FromContext(r.Context())
	return ok && c.Anonymous && !c.Provisional
}

// joinPage asks whether to go on here. Opening the link changes nothing, since whoever
// photographs the code, and every scanner of links, can do that.
func (p *Pages) joinPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	if c, ok := walkin.FromContext(r.Context()); ok && !c.Anonymous {
		p.say(w, r, form, &view{Title: "handover.title", Data: message{Text: "handover.permanent", Links: []link{{"signout.submit", p.cfg.SignOutPath}}}})
		return
	}
	data := joinView{Code: r.FormValue("code"), Occupied: occupied(r)}
	if form.Refusal != nil && form.Refusal.Text.Key == "handover.over" {
		data.Code = "" // nothing to press
	}
	v := &view{Title: "handover.join_title", Data: data}
	v.refused(p.wk.Texts(r), form.Refusal, "device")
	p.show(w, r, form, "join", v)
}

func (p *Pages) scanHandover(w http.ResponseWriter, r *http.Request) (string, error) {
	if err := p.cfg.Handover.Scan(w, r, r.PostFormValue("code"), Device(r)); err != nil {
		return "", err
	}
	if r.PostFormValue("leave") != "" {
		return p.cfg.Path + "device/wait?leave=1", nil
	}
	return p.cfg.Path + "device/wait", nil
}

// waitPage shows the number that is to be typed in the other browser.
func (p *Pages) waitPage(w http.ResponseWriter, r *http.Request, form walkin.Form) {
	stage, number, err := p.cfg.Handover.Scanned(r)
	if err != nil && form.Refusal == nil {
		p.wk.Refuse(w, r, err)
		return
	}
	if !wantsPage(r) {
		p.tell(w, form, map[string]string{"stage": stage, "number": number})
		return
	}
	leave := r.FormValue("leave") != ""
	v := &view{Title: "handover.title", Data: joinView{Number: number, Occupied: occupied(r) && !leave, Leave: leave}}
	v.refused(p.wk.Texts(r), form.Refusal, "device")
	p.show(w, r, form, "wait", v)
}

func (p *Pages) joinHandover(w http.ResponseWriter, r *http.Request) (string, error) {
	if err := p.cfg.Handover.Join(w, r, r.PostFormValue("leave") != ""); err != nil {
		return "", err
	}
	p.putNotice(w, "account.done_joined")
	return p.cfg.Home, nil
}

// show renders a page that a form is on.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, form walkin.Form, name string, v *view) {
	if err := p.render(w, r, form.Status, name, v); err != nil {
		p.wk.Refuse(w, r, err)
	}
}

// say shows a page with a message in place of a form.
func (p *Pages) say(w http.ResponseWriter, r *http.Request, form walkin.Form, v *view) {
	p.show(w, r, form, "message", v)
}

// tell answers a page's own script with what the page would show.
func (p *Pages) tell(w http.ResponseWriter, form walkin.Form, what map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(form.Status)
	_ = json.NewEncoder(w).Encode(what) // the only error is a client that went away
}
