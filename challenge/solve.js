// The page: solves the challenge, tells the site, and sends the form again.
"use strict";
(function () {
  const root = document.getElementById("challenge"), say = document.getElementById("status");
  const form = document.getElementById("again"), bar = document.getElementById("bar");
  const fail = function () { bar.hidden = true; say.textContent = root.dataset.failed; };

  const send = async function (solution, challenge) {
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
    if (!form) { say.textContent = root.dataset.back; return; }
    say.textContent = root.dataset.done;
    // A GET form would lose the query of its address; and a field may be called
    // "submit" or "action".
    if (form.getAttribute("method") === "get") { location.replace(form.getAttribute("action")); return; }
    HTMLFormElement.prototype.submit.call(form);
  };

  const work = function (challenge, bits) {
    const worker = new Worker(root.dataset.path + "work.js");
    worker.onerror = fail;
    worker.onmessage = function (event) {
      if (event.data.solution !== undefined) { worker.terminate(); send(event.data.solution, challenge); return; }
      bar.value = 1 - Math.exp(-event.data.tried / 2 ** bits); // how likely it is to be done by now
    };
    worker.postMessage({ challenge: challenge, bits: bits });
  };

  window.walkinSolved = function (answer) { send(answer); }; // a captcha's widget calls it
  if (root.dataset.challenge) work(root.dataset.challenge, Number(root.dataset.bits));
})();
