// The page: solves the challenge, tells the site, and sends the form again. It is
// loaded in the head, so that nobody with scripts sees what is for those without.
"use strict";
document.documentElement.classList.add("works");
document.addEventListener("DOMContentLoaded", function () {
  const root = document.getElementById("challenge"), say = document.getElementById("status");
  const again = document.getElementById("again"), bar = document.getElementById("bar");

  // Where there is something to send again, a button does it later.
  const fail = function () {
    bar.hidden = true;
    say.textContent = root.dataset.failed;
    document.documentElement.classList.add("failed");
  };

  const send = async function (challenge, solution) {
    let response;
    try {
      response = await fetch(root.dataset.path + "solved", {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ Challenge: challenge, Solution: solution }),
      });
      if (response.status === 409) { // a crowd came meanwhile: the work has become harder
        const next = await response.json();
        return work(next.Challenge, next.Bits);
      }
    } catch { return fail(); }
    if (!response.ok) return fail();
    bar.value = 1;
    if (!again) { say.textContent = root.dataset.back; return; }
    say.textContent = root.dataset.done;
    const link = document.querySelector("#again > a");
    if (link) { location.replace(link.href); return; }
    HTMLFormElement.prototype.submit.call(again); // a field may be called "submit", or anything else a form has
  };

  const work = function (challenge, bits) {
    let worker;
    try { worker = new Worker(root.dataset.path + "work.js"); } catch { return fail(); }
    worker.onerror = fail;
    worker.onmessage = function (event) {
      if (event.data.solution !== undefined) { worker.terminate(); send(challenge, event.data.solution); return; }
      bar.value = 1 - Math.exp(-event.data.tried / 2 ** bits); // how likely it is to be done by now
    };
    worker.postMessage({ challenge: challenge, bits: bits });
  };

  if (root.dataset.script) { // a captcha's widget, which calls these
    window.walkinSolved = (answer) => { send("", answer); };
    window.walkinFailed = fail;
    const script = document.createElement("script");
    script.src = root.dataset.script;
    script.onerror = fail;
    document.head.append(script);
    return;
  }
  work(root.dataset.challenge, Number(root.dataset.bits));
});
