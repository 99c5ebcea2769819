// What is wrong with a page, by rules of WCAG 2.2 that a machine can judge. It is an
// expression: a list of sentences.
(() => {
	const wrong = [];
	const all = (selector) => [...document.querySelectorAll(selector)];
	const say = (el) => el.outerHTML.slice(0, 100);
	const seen = (el) => el.checkVisibility({ visibilityProperty: true }) && !el.closest(".vh, .hidden-name");

	if (!document.documentElement.lang) wrong.push("no language");
	if (!document.title.trim()) wrong.push("no title");
	if (document.documentElement.scrollWidth > innerWidth) {
		wrong.push(`scrolls sideways: ${document.documentElement.scrollWidth} of ${innerWidth} pixels, as by ` +
			all("body *").filter((el) => el.getBoundingClientRect().right > innerWidth + 1 || el.getBoundingClientRect().left < -1).filter(seen).slice(0, 3).map(say).join(" "));
	}
	for (const [selector, count] of [["h1", 1], ["main", 1], ["meta[name=viewport]", 1]])
		if (all(selector).length !== count) wrong.push(all(selector).length + " of " + selector);
	let level = 0;
	for (const h of all("h1, h2, h3, h4, h5, h6")) {
		if (+h.tagName[1] > level + 1) wrong.push("heading skips a level: " + say(h));
		level = +h.tagName[1];
		if (!h.textContent.trim()) wrong.push("empty heading");
	}
	const ids = all("[id]").map((el) => el.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push("twice: #" + id);
	for (const el of all("[aria-describedby], [aria-labelledby]"))
		for (const id of ((el.getAttribute("aria-describedby") || "") + " " + (el.getAttribute("aria-labelledby") || "")).trim().split(/\s+/))
			if (!document.getElementById(id)) wrong.push("describes nothing: #" + id);
	for (const el of all("[tabindex]")) if (el.tabIndex > 0) wrong.push("tabindex: " + say(el));
	for (const el of all("input:not([type=hidden]), textarea, select").filter((el) => el.checkVisibility())) {
		if ((!el.labels.length || !el.labels[0].textContent.trim()) && !(el.getAttribute("aria-label") || "").trim()) wrong.push("no label: " + say(el));
		if (el.matches("[type=email], [type=password]") && !el.autocomplete) wrong.push("no autocomplete: " + say(el));
		if (el.matches("[name=password]") && el.type !== "password") wrong.push("what is typed can be read: " + say(el));
		if (!el.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true }))) wrong.push("no paste: " + say(el));
		if (el.getAttribute("aria-invalid") === "true" && !/error/.test(el.getAttribute("aria-describedby"))) wrong.push("its error is elsewhere: " + say(el));
	}
	for (const el of all("[aria-invalid=true]"))
		if (document.activeElement !== el && !all("[aria-invalid=true]").includes(document.activeElement)) wrong.push("the focus is not where the mistake is: " + say(el));
	for (const el of all("a, button, summary, input:not([type=hidden]), select").filter(seen)) {
		if (!el.matches("input, select") && !el.textContent.trim() && !el.getAttribute("aria-label")) wrong.push("no name: " + say(el));
		const box = (el.matches("[type=checkbox]") && el.closest("label") || el).getBoundingClientRect();
		const inText = getComputedStyle(el).display === "inline" && el.closest("p, li, dd, td"); // WCAG excepts links in a sentence
		if (!inText && box.bottom > 0 && (box.height < 24 || box.width < 24)) wrong.push(`small target, ${box.width} by ${box.height}: ${say(el)}`);
	}
	for (const el of all("[style], script:not([src]), [onclick]")) wrong.push("inline: " + say(el));
	if (all("main button:not(.plain, .link, .danger, .small), main a.button:not(.plain, .small)").filter(seen).length > 1 && all("main.walkin").length) wrong.push("more than one main action");

	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
	const behind = (el) => {
		for (; el; el = el.parentElement) {
			const color = rgb(getComputedStyle(el).backgroundColor);
			if (color.length === 3 || color[3] === 1) return color;
			if (color[3] > 0) wrong.push("see-through: " + say(el));
		}
		return rgb(getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)");
	};
	for (const el of all("body *").filter((el) => el.checkVisibility() && !el.closest("svg"))) {
		const style = getComputedStyle(el);
		const words = [...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
		if (words && el.getClientRects().length) {
			const large = parseFloat(style.fontSize) >= 24;
			const got = ratio(rgb(style.color), behind(el));
			if (got < (large ? 3 : 4.5)) wrong.push("contrast " + got.toFixed(2) + ": " + say(el));
		}
		if (el.matches("input:not([type=hidden], [type=checkbox]), textarea, select") && seen(el)) {
			const got = ratio(rgb(style.borderTopColor), behind(el.parentElement));
			if (got < 3) wrong.push("border " + got.toFixed(2) + ": " + say(el));
		}
	}
	return wrong;
})()
