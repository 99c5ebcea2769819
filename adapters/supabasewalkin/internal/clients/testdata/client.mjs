// supabase-js as npm has it, in Node. It reads commands of the test and answers each
// with a line of JSON.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

globalThis.WebSocket ??= class {} // for realtime, which Node before 22 has not, and nothing here needs
const { createClient } = createRequire(process.env.FORUM + '/')('@supabase/supabase-js')
const [url, key, flowType] = process.argv.slice(2)
const items = new Map()
const storage = { getItem: (k) => items.get(k) ?? null, setItem: (k, v) => void items.set(k, v), removeItem: (k) => void items.delete(k) }
const client = createClient(url, key, { auth: { autoRefreshToken: false, persistSession: true, detectSessionInUrl: false, flowType, storage, storageKey: 'test' } })
const events = []
client.auth.onAuthStateChange((event) => { events.push(event) })

const short = ({ data, error }) => ({
  code: error?.code, status: error?.status, url: data?.url,
  user: data?.user && { id: data.user.id, anonymous: data.user.is_anonymous, providers: (data.user.identities ?? []).map((i) => i.provider) },
  identities: data?.identities?.map((i) => i.provider),
})
const commands = {
  anonymous: () => client.auth.signInAnonymously(),
  link: (provider, redirectTo) => client.auth.linkIdentity({ provider, options: { redirectTo, skipBrowserRedirect: true } }),
  oauth: (provider, redirectTo) => client.auth.signInWithOAuth({ provider, options: { redirectTo, skipBrowserRedirect: true } }),
  exchange: (code) => client.auth.exchangeCodeForSession(code),
  user: () => client.auth.getUser(),
  refresh: () => client.auth.refreshSession(),
  claims: async () => {
    const { data, error } = await client.auth.getClaims()
    return { data: { user: { id: data?.claims.sub, is_anonymous: data?.claims.is_anonymous } }, error }
  },
  identities: () => client.auth.getUserIdentities(),
  unlink: async (provider) => {
    const { data } = await client.auth.getUserIdentities()
    return client.auth.unlinkIdentity(data.identities.find((i) => i.provider === provider))
  },
  email: (email) => client.auth.updateUser({ email }),
  verify: (email, token) => client.auth.verifyOtp({ email, token, type: 'email_change' }),
  signOut: () => client.auth.signOut(),
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line)
  let answer
  try { answer = name === 'events' ? { events } : short(await commands[name](...args)) } catch (error) { answer = { failed: String(error) } }
  console.log(JSON.stringify(answer))
}
