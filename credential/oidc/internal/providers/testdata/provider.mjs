// A provider for one test: node provider.mjs CALLBACK [CALLBACK]. It prints its
// issuer when it listens, and ends when its input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [query, posted] = process.argv.slice(2);
const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
const client = { grant_types: ['authorization_code'], response_types: ['code'], client_secret: 'secret' };
const provider = new Provider(issuer, {
  clients: [
    { ...client, client_id: 'query', redirect_uris: [query] },
    { ...client, client_id: 'posted', redirect_uris: [posted], token_endpoint_auth_method: 'client_secret_post' },
  ],
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id }),
  }),
});
server.on('request', provider.callback());
process.stdin.on('end', () => process.exit()).resume();
console.log(issuer);
