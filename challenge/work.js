// The worker: counts until the SHA-256 of challenge:number begins with enough
// zero bits. The browser's own digest is asynchronous and slower for one block.
"use strict";
const K = new Uint32Array(64), H0 = new Uint32Array(8);
(function () { // the first 32 bits of the fractional parts of roots of primes
  const part = (x) => (x - Math.floor(x)) * 4294967296 | 0;
  for (let n = 2, i = 0; i < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (!prime) continue;
    if (i < 8) H0[i] = part(Math.sqrt(n));
    K[i++] = part(Math.cbrt(n));
  }
})();
const W = new Uint32Array(64);

// block hashes 64 bytes into h.
function block(h, p, at) {
  for (let i = 0; i < 16; i++, at += 4) W[i] = p[at] << 24 | p[at + 1] << 16 | p[at + 2] << 8 | p[at + 3];
  for (let i = 16; i < 64; i++) {
    const a = W[i - 15], b = W[i - 2];
    W[i] = W[i - 16] + W[i - 7] + ((a >>> 7 | a << 25) ^ (a >>> 18 | a << 14) ^ a >>> 3) +
      ((b >>> 17 | b << 15) ^ (b >>> 19 | b << 13) ^ b >>> 10);
  }
  let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], x = h[7];
  for (let i = 0; i < 64; i++) {
    const t = x + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g) + K[i] + W[i] | 0;
    const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
    x = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += x;
}

onmessage = function (event) {
  const { challenge, bits } = event.data;
  const head = new TextEncoder().encode(challenge + ":");
  const whole = head.length - head.length % 64;
  const start = H0.slice(), h = new Uint32Array(8);
  for (let i = 0; i < whole; i += 64) block(start, head, i);
  const rest = head.length - whole, p = new Uint8Array(128);
  for (let n = 0; ; n++) {
    const digits = String(n);
    p.fill(0);
    p.set(head.subarray(whole));
    for (let i = 0; i < digits.length; i++) p[rest + i] = digits.charCodeAt(i);
    const used = rest + digits.length, end = used < 56 ? 64 : 128, length = (whole + used) * 8;
    p[used] = 128;
    p[end - 4] = length >>> 24; p[end - 3] = length >>> 16; p[end - 2] = length >>> 8; p[end - 1] = length;
    h.set(start);
    block(h, p, 0);
    if (end > 64) block(h, p, 64);
    if (Math.clz32(h[0]) >= bits) { postMessage({ solution: digits }); return; }
    if (n % 20000 === 19999) postMessage({ tried: n + 1 });
  }
};
