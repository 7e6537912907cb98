// Marks the audit sample of the report. What a person says is kept as what the photo shows ({"is": class}, {"is_not": class}, {"none": true},
// {"unsure": true}); the interval is looked up in the table that `interval.fewest` made. One mark counts after the other, in the order drawn.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("audit-data").textContent);
  const { photos, names, fewest, population, file } = data;
  const get = (id) => document.getElementById(`a-${id}`);
  const DIGITS = 9; // classes that a key each can name; more are found by typing
  const SIGN = { right: "✓", wrong: "✗", unsure: "?", open: "…", "": "" };
  let storing = true, state = { marks: { ...data.marks }, saved: null }, at = 0, naming = false;

  // What is remembered

  const known = new Set(photos.map((photo) => photo.id));
  const marksOf = (kept) => Object.fromEntries(Object.entries(kept || {}).filter(([id, mark]) => known.has(id) && valid(mark)));
  const valid = (mark) => mark === null || (mark && typeof mark === "object" && (mark.none === true || mark.unsure === true || names.includes(mark.is) || names.includes(mark.is_not)));

  function recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(data.key) || "null");
      if (kept) state = { marks: { ...state.marks, ...marksOf(kept.marks) }, saved: kept.saved || null };
    } catch (error) {
      storing = !(error instanceof DOMException);
    }
  }

  function remember() {
    try {
      localStorage.setItem(data.key, JSON.stringify(state));
    } catch {
      storing = false;
    }
  }

  // What it comes to

  const verdict = (mark, prediction) => {
    if (!mark) return "";
    if (mark.is !== undefined) return mark.is === prediction ? "right" : "wrong";
    if (mark.is_not !== undefined) return mark.is_not === prediction ? "wrong" : "open";
    return mark.none ? "wrong" : "unsure";
  };
  const verdicts = () => photos.map((photo) => verdict(state.marks[photo.id], photo.prediction));
  const percent = (share) => `${(100 * share).toFixed(0)} %`;

  function bounds(counted, right, unclear) {
    return [fewest[counted][right] / population, 1 - fewest[counted][counted - right - unclear] / population];
  }

  function measured() {
    const all = verdicts(), path = [{ counted: 0, right: 0, unclear: 0, low: 0, high: 1 }];
    for (const one of all) {
      if (!one) break;
      const last = path[path.length - 1];
      const next = { counted: last.counted + 1, right: last.right + (one === "right"), unclear: last.unclear + (one === "unsure" || one === "open") };
      [next.low, next.high] = bounds(next.counted, next.right, next.unclear);
      path.push(next);
    }
    return { all, path, now: path[path.length - 1] };
  }

  // What is shown

  function element(tag, text, about = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
    return made;
  }

  function shape(tag, about, text = "") {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  }

  function funnel(path) {
    const x = (counted) => 44 + (348 * counted) / photos.length, y = (share) => 8 + 120 * (1 - share);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(shape("line", { x1: 44, x2: 392, y1: y(share), y2: y(share), stroke: "#e2e6e9" }));
      parts.push(shape("text", { x: 38, y: y(share) + 4, "text-anchor": "end", "font-size": 11, fill: "#5d6870" }, percent(share)));
    }
    for (const [counted, anchor] of [[0, "start"], [photos.length, "end"]]) {
      parts.push(shape("text", { x: x(counted), y: 146, "text-anchor": anchor, "font-size": 11, fill: "#5d6870" }, String(counted)));
    }
    const band = [...path.map((p) => [p.counted, p.high]), ...path.map((p) => [p.counted, p.low]).reverse()];
    parts.push(shape("polygon", { points: band.map(([counted, share]) => `${x(counted)},${y(share)}`).join(" "), fill: "#0072b2", opacity: 0.22 }));
    const line = path.filter((p) => p.counted > p.unclear).map((p) => `${x(p.counted)},${y(p.right / (p.counted - p.unclear))}`);
    parts.push(shape("polyline", { points: line.join(" "), fill: "none", stroke: "#0072b2", "stroke-width": 2 }));
    get("funnel").replaceChildren(...parts);
  }

  function outcome() {
    const { all, path, now } = measured(), done = now.counted === photos.length;
    const marked = all.filter(Boolean).length, count = (kind) => all.filter((one) => one === kind).length;
    const range = now.low === now.high ? percent(now.low) : `${percent(now.low).slice(0, -2)} to ${percent(now.high)}`;
    get("share").replaceChildren(element("b", now.counted ? range : "Not measured yet"), now.counted ? `of all ${population} photos are named rightly` : "mark the first photo");
    get("range").style.left = `${100 * now.low}%`;
    get("range").style.width = now.counted ? `${Math.max(1, 100 * (now.high - now.low))}%` : "0";
    const unclear = count("unsure") + count("open");
    let said = `${marked} of ${photos.length} marked: ${count("right")} right, ${count("wrong")} wrong${unclear ? `, ${unclear} unclear` : ""}.`;
    if (marked > now.counted) said += ` Counted are the first ${now.counted}: number ${now.counted + 1} has no mark yet.`;
    if (count("open")) said += " Those with … were called wrong before, and are named otherwise now: look again.";
    if (!done && marked) said += " The interval narrows once more when all are marked.";
    get("counts").textContent = said;
    funnel(path);
    get("strip").replaceChildren(...photos.map((photo, i) => {
      const button = element("button", SIGN[all[i]], { type: "button", class: all[i], title: `${i + 1}: ${photo.prediction}${all[i] ? `, ${all[i]}` : ""}`, "aria-label": `photo ${i + 1}, ${all[i] || "not marked"}` });
      if (i === at) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => go(i));
      return button;
    }));
    misses();
    const how = storing ? "" : " This browser does not remember marks: save before you close the page.";
    get("saved").textContent = !marked ? how : kept(marked) + how;
    const top = document.getElementById("measured-now");
    if (top) top.textContent = now.counted ? `Measured on this page so far: ${range} (${now.counted} photos marked)` : "";
  }

  function kept(marked) {
    if (JSON.stringify(rows()) === state.saved) return `${marked} marks are saved as marks.json.`;
    const read = photos.every(({ id }) => JSON.stringify(state.marks[id] || null) === JSON.stringify(data.marks[id] || null));
    return read ? "This run has read these marks. Save them again, and the next run sees what fails now." : "Not saved to a file yet.";
  }

  function misses() {
    const lines = names.map((name) => {
      const own = photos.filter((photo) => (state.marks[photo.id] || {}).is === name), taken = {};
      for (const photo of own) if (photo.prediction !== name) taken[photo.prediction] = (taken[photo.prediction] || 0) + 1;
      const missed = Object.values(taken).reduce((a, b) => a + b, 0);
      return { name, own: own.length, missed, taken: Object.entries(taken).sort((a, b) => b[1] - a[1]) };
    }).filter((line) => line.missed).sort((a, b) => b.missed - a.missed);
    const none = photos.filter((photo) => (state.marks[photo.id] || {}).none).length;
    const items = lines.map((line) => `${line.name}: ${line.missed} of ${line.own} missed (${line.taken.map(([name, n]) => `${n} named ${name}`).join(", ")})`);
    if (none) items.push(`${none} of the marked photos show none of the classes`);
    const list = element("ul", "", { class: "small" });
    list.append(...items.map((item) => element("li", item)));
    get("misses").replaceChildren(...(items.length ? [element("h3", "What goes wrong"), list] : []));
  }

  function show() {
    const photo = photos[at], mark = state.marks[photo.id], now = verdict(mark, photo.prediction);
    Object.assign(get("photo"), { src: photo.src, alt: photo.file, className: photo.tiny ? "tiny" : "" });
    get("place").textContent = `Photo ${at + 1} of ${photos.length}`;
    get("file").textContent = photo.file;
    get("name").textContent = photo.prediction;
    for (const [id, kind] of [["right", "right"], ["wrong", "wrong"], ["unsure", "unsure"]]) get(id).classList.toggle("chosen", now === kind);
    let said = "";
    if (now === "wrong") said = mark.is ? `You said: ${mark.is}.` : mark.none ? "You said: none of the classes." : "You said: wrong.";
    if (now === "open") said = `You said that it is no ${mark.is_not}; now it is named ${photo.prediction}. Is that right?`;
    get("answer").textContent = said;
    get("back").disabled = at === 0;
    get("next").disabled = at === photos.length - 1;
    get("clear").disabled = !mark;
    get("classes").hidden = !naming;
    outcome();
  }

  function choices() {
    const wanted = get("filter").value.trim().toLowerCase(), others = names.filter((name) => name !== photos[at].prediction);
    const shown = names.length > DIGITS ? others.filter((name) => name.toLowerCase().includes(wanted)) : others;
    get("list").replaceChildren(...shown.map((name) => {
      const button = element("button", name, { type: "button" });
      if (names.length <= DIGITS) button.append(element("kbd", String(names.indexOf(name) + 1)));
      button.addEventListener("click", () => answer({ is: name }));
      return button;
    }));
    return shown;
  }

  // What a person does

  function go(i) {
    at = Math.min(photos.length - 1, Math.max(0, i));
    naming = false;
    show();
  }

  function answer(mark) {
    state.marks[photos[at].id] = mark;
    remember();
    const todo = photos.map((photo, i) => [verdict(state.marks[photo.id], photo.prediction), i]).filter(([one]) => !one || one === "open").map(([, i]) => i);
    const next = todo.find((i) => i > at) ?? todo[0];
    const typing = document.activeElement === get("filter");
    go(next ?? at);
    if (typing) get("card").focus({ preventScroll: true }); // no button: Enter pressed once more must mark nothing
  }

  function askClass() {
    naming = true;
    get("filter").value = "";
    get("filter").hidden = names.length <= DIGITS;
    choices();
    show();
    if (names.length > DIGITS) get("filter").focus({ preventScroll: true });
  }

  function close() {
    go(at);
    get("card").focus({ preventScroll: true });
  }

  function rows() {
    return photos.filter((photo) => state.marks[photo.id]).map(({ id, file: name, prediction }) => ({ id, file: name, prediction, ...state.marks[id] }));
  }

  function save() {
    const link = element("a", "", { download: "marks.json", href: URL.createObjectURL(new Blob([`${JSON.stringify({ ...file, marks: rows() }, null, 1)}\n`], { type: "application/json" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    state.saved = JSON.stringify(rows());
    remember();
    outcome();
  }

  const right = () => answer({ is: photos[at].prediction });
  const wrong = () => answer({ is_not: photos[at].prediction });
  const clear = () => { state.marks[photos[at].id] = null; remember(); go(at); };
  const keys = { y: right, n: askClass, u: () => answer({ unsure: true }), s: save, arrowleft: () => go(at - 1), arrowright: () => go(at + 1), backspace: clear };
  const none = () => answer({ none: true });
  if (names.length <= DIGITS) {
    keys[0] = none;
    names.forEach((name, k) => { keys[k + 1] = () => answer({ is: name }); });
    get("none").append(element("kbd", "0"));
  }

  function pressed(event) {
    const onScreen = (place) => place.top < innerHeight - 100 && place.bottom > 100;
    const seen = onScreen((event.key.toLowerCase() === "s" ? document.getElementById("measure") : get("photo").parentNode).getBoundingClientRect());
    if (event.ctrlKey || event.metaKey || event.altKey || !seen) return; // nobody marks a photo that is not on the screen
    const filtering = event.target === get("filter"), key = event.key.toLowerCase();
    let act = filtering ? null : keys[key];
    if (naming && key === "escape") act = close;
    if (naming && key === "enter" && filtering) act = get("filter").value.trim() ? () => { const [first] = choices(); if (first) answer({ is: first }); } : wrong;
    else if (naming && key === "enter" && !(event.target.closest && event.target.closest("#a-classes button"))) act = wrong;
    if (!act || (event.repeat && !key.startsWith("arrow"))) return;
    event.preventDefault();
    act();
  }

  for (const [id, act] of Object.entries({ right, wrong: askClass, unsure: keys.u, none, skip: wrong, close, back: keys.arrowleft, next: keys.arrowright, clear, save })) get(id).addEventListener("click", act);
  get("filter").addEventListener("input", choices);
  document.addEventListener("keydown", pressed);
  addEventListener("beforeunload", (event) => { if (!storing && JSON.stringify(rows()) !== (state.saved || "[]")) event.preventDefault(); });
  recall();
  document.getElementById("audit").hidden = false;
  go(Math.max(0, verdicts().findIndex((one) => !one || one === "open")));
})();
