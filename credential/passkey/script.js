{
const texts = {
	notsupported: "This browser has no passkeys. Please use another way.",
	security: "Passkeys do not work on this address.",
	notallowed: "Cancelled, or it took too long. You can try again.",
	invalidstate: "This device has a passkey for you already.",
	failed: "That did not work. Please try again."
}
const bytes = s => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt())
const chars = b => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_")
const post = async (url, body) => {
	const r = await fetch(url, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)})
	if (r.ok) return r.json()
	throw await r.json()
}
const ask = async ({publicKey: o}) => {
	o.challenge = bytes(o.challenge)
	if (o.user) o.user.id = bytes(o.user.id)
	for (const k of o.excludeCredentials || o.allowCredentials || []) k.id = bytes(k.id)
	const {id, type, response: r} = await navigator.credentials[o.user ? "create" : "get"]({publicKey: o})
	const response = {transports: r.getTransports?.()}
	for (const k in r) if (r[k]?.byteLength) response[k] = chars(r[k])
	return {id, rawId: id, type, response}
}
for (const form of document.querySelectorAll("form[data-passkey]")) {
	const say = {...texts, ...form.dataset}, out = form.querySelector("[aria-live]"), button = form.querySelector("button")
	form.onsubmit = async e => {
		e.preventDefault()
		out.textContent = ""
		button.disabled = true
		try {
			if (!self.PublicKeyCredential) throw {name: isSecureContext ? "NotSupportedError" : "SecurityError"}
			const options = await post(form.action, Object.fromEntries(new FormData(form)))
			await post(form.action + "-finish", await ask(options))
			const to = new URL(form.return_to?.value || "/", location)
			to.hash = ""
			location.assign(to.origin == location.origin ? to : "/")
		} catch (e) {
			out.textContent = e.detail || say[e.name?.slice(0, -5).toLowerCase()] || say.failed
		}
		button.disabled = false
		button.focus()
	}
}
}
