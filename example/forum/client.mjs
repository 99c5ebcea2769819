// What the demo of anonymous sign-ins does, by supabase-js as npm has it, in Node. It
// reads commands of the test and answers each with a line of JSON.
import { createClient } from '@supabase/supabase-js'
import { createInterface } from 'node:readline'

const [url, key] = process.argv.slice(2)
const memory = () => {
  const items = new Map()
  return { getItem: (k) => items.get(k) ?? null, setItem: (k, v) => void items.set(k, v), removeItem: (k) => void items.delete(k) }
}
// Node before 22 has no WebSocket, which nothing here needs.
const make = (storage = memory()) =>
  createClient(url, key, { realtime: { transport: class {} }, auth: { autoRefreshToken: false, persistSession: true, detectSessionInUrl: false, storage, storageKey: 'forum' } })

let client, storage
const events = []
const short = ({ data, error }) => ({
  error: error && { status: error.status, code: error.code },
  user: data?.user && { id: data.user.id, anonymous: data.user.is_anonymous, email: data.user.email, pending: data.user.new_email },
})

const commands = {
  async start() {
    storage = memory()
    client = make(storage)
    events.length = 0
    client.auth.onAuthStateChange((event) => { events.push(event) })
    return short(await client.auth.signInAnonymously())
  },
  async email(address) { return short(await client.auth.updateUser({ email: address })) },
  async verify(address, token) { return short(await client.auth.verifyOtp({ email: address, token, type: 'email_change' })) },
  async user() { return short(await client.auth.getUser()) },
  async refresh() { return short(await client.auth.refreshSession()) },
  async claims() {
    const { data, error } = await client.auth.getClaims()
    return { error: error && { code: error.code }, claims: data?.claims }
  },
  async read() {
    const { data, error, status } = await client.from('posts').select('*').order('created_at', { ascending: false }).limit(20)
    return { status, code: error?.code, rows: data?.length }
  },
  async post(text) {
    const { data, error, status } = await client.from('posts').insert({ text }).select().single()
    return { status, code: error?.code, by: data?.user_id }
  },
  async events() { return { events } },
  async signOut() { return { error: (await client.auth.signOut()).error } },
  // Twenty users who ask for one address at once.
  async race(address) {
    const clients = await Promise.all(Array.from({ length: 20 }, async () => {
      const one = make()
      const { error } = await one.auth.signInAnonymously()
      if (error) throw error
      return one
    }))
    const answers = await Promise.all(clients.map((one) => one.auth.updateUser({ email: address })))
    return { answers: answers.map(({ error }) => (error ? `${error.status} ${error.code}` : '200')) }
  },
  // Five tabs, each with its own client, over one stored session.
  async tabs() {
    const session = (await client.auth.getSession()).data.session
    const refresh = () => fetch(`${url}/auth/v1/token?grant_type=refresh_token`, {
      method: 'POST', headers: { apikey: key, 'Content-Type': 'application/json' }, body: JSON.stringify({ refresh_token: session.refresh_token }),
    })
    const answers = await Promise.all(Array.from({ length: 5 }, refresh))
    const bodies = await Promise.all(answers.map((answer) => answer.json()))
    await client.auth.setSession({ access_token: bodies[0].access_token, refresh_token: bodies[0].refresh_token })
    return { statuses: answers.map((answer) => answer.status), tokens: new Set(bodies.map((body) => body.refresh_token)).size }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  let answer
  try { answer = await commands[name](...args) } catch (error) { answer = { failed: String(error) } }
  console.log(JSON.stringify(answer))
}
