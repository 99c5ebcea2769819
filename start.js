// For pages that walkin does not serve: walkinFetch is fetch that has the visitor's
// cookie before the first write. Without it, writes that a page sends together would
// each be a new visitor's.
(() => {
  const url = new URL(document.currentScript.src)
  const start = () => fetch(url, { method: 'POST', credentials: 'include' }).then((response) => {
    if (!response.ok) throw new Error(`walkin: ${response.status}`)
  })
  // Of several tabs that begin at once, one gets the cookie, and the others send it.
  const inTurn = () => (navigator.locks ? navigator.locks.request('walkin', start) : start())
  let started
  const begin = () => (started ??= inTurn().catch((error) => {
    started = undefined // the next write tries again
    throw error
  }))
  window.walkinFetch = async (input, init = {}) => {
    const method = (init.method ?? input.method ?? 'GET').toUpperCase()
    const send = () => fetch(input, { credentials: 'include', ...init })
    if (['GET', 'HEAD', 'OPTIONS'].includes(method)) return send()
    await begin()
    const response = await send()
    // The cookie is over, or was cleared: once more with a new one, where the body is
    // still there to be sent.
    if (response.status !== 401 || input instanceof Request || init.body instanceof ReadableStream) return response
    started = undefined
    await begin()
    return send()
  }
})()
