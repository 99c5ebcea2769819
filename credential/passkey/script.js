{
const texts = {}
const bytes = s => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt())
const chars = b => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_")
const post = async (url, body) => {
	const r = await fetch(url, {method: "POST", body: new Blob([JSON.stringify(body)], {type: "application/json"})})
	if (r.ok) return r.json()
	throw await r.json()
}
const ask = async (o, how) => {
	o.challenge = bytes(o.challenge)
	if (o.user) o.user.id = bytes(o.user.id)
	for (const k of o.excludeCredentials || o.allowCredentials || []) k.id = bytes(k.id)
	const {id, type, response: r} = await navigator.credentials[o.user ? "create" : "get"]({publicKey: o, ...how})
	const response = {transports: r.getTransports?.()}
	for (const k in r) if (r[k]?.byteLength) response[k] = chars(r[k])
	return {id, rawId: id, type, response}
}
const automatic = async () => (await self.PublicKeyCredential?.getClientCapabilities?.())?.conditionalCreate
let now, fill
for (const form of document.querySelectorAll("form[data-passkey]")) {
	const say = {...texts, ...form.dataset}, out = form.querySelector("[aria-live]"), button = form.querySelector("button")
	const leave = () => {
		const to = new URL(form.return_to?.value || "/", location)
		to.hash = ""
		location[say.passkey ? "replace" : "assign"](to.origin == location.origin ? to : "/")
	}
	const run = async idle => {
		now?.abort()
		const me = now = new AbortController
		me.idle = idle
		if (!idle) {
			out.textContent = ""
			button.disabled = true
		}
		try {
			if (!self.PublicKeyCredential) throw {name: isSecureContext ? "NotSupportedError" : "SecurityError"}
			const {publicKey} = await post(form.action, idle || Object.fromEntries(new FormData(form)))
			const answer = await ask(publicKey, {signal: me.signal, ...idle})
			me.idle = 0
			await post(form.action + "-finish", answer)
			leave()
		} catch (e) {
			if (say.passkey) leave()
			else if (now == me && !me.idle) {
				out.textContent = e.detail || say[e.name?.slice(0, -5).toLowerCase()] || say.failed
				fill?.()
			}
		}
		if (idle) return
		button.disabled = false
		button.focus()
	}
	form.onsubmit = e => {
		e.preventDefault()
		run()
	}
	if (say.passkey) {
		automatic().then(yes => yes ? run({mediation: "conditional"}) : leave(), leave)
		setTimeout(() => now?.abort(), 5e3)
	}
	if (/signin$/.test(form.action) && document.querySelector("[autocomplete~=webauthn]"))
		self.PublicKeyCredential?.isConditionalMediationAvailable?.().then(yes => {
			if (!yes) return
			fill = () => run({mediation: "conditional"})
			fill()
			setInterval(() => now.idle && fill(), 24e4)
		})
}
for (const form of document.querySelectorAll("form[data-passkey-automatic]")) automatic().then(yes => {
	const to = form.return_to, by = form.dataset.passkeyAutomatic + "?return_to="
	if (yes && !to.value.startsWith(by)) to.value = by + encodeURIComponent(to.value)
})
for (const form of document.querySelectorAll("form[data-passkey-remove]")) form.onsubmit = e => {
	if (!self.PublicKeyCredential?.signalUnknownCredential) return
	e.preventDefault()
	fetch(form.action, {method: "POST", headers: {Accept: "application/json"}, body: new URLSearchParams(new FormData(form))}).then(async r => {
		if (!r.ok) throw r
		const {location: to} = await r.json()
		await PublicKeyCredential.signalUnknownCredential({rpId: texts.rp, credentialId: form.dataset.passkeyRemove}).catch(() => {})
		location.assign(to)
	}).catch(() => form.submit())
}
}
