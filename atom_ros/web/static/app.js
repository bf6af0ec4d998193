// Copyright 2026 The atom_tracker Authors
// SPDX-License-Identifier: Apache-2.0
// The page: shows pictures with the Tracks of the same stamp, and sends the user's selections. See docs/web.md.

const STATES = ["IDLE", "TRACKING", "UNCERTAIN", "LOST", "SEARCHING"];
const COLORS = { IDLE: "#bebebe", TRACKING: "#3cdc3c", UNCERTAIN: "#ffbe00", LOST: "#ff3c3c", SEARCHING: "#e66ee6" };
const DRAWN = "#56b4e9";
const MIN_SIDE = 4; // px of the image; a shorter side is an accidental drag
const CLICK = { mouse: 4, pen: 6, touch: 10 }; // px of the screen that the pointer may move during a click
const HISTORY = 60; // s
const STALE = 1.5; // s without a picture
const ANSWER = 20; // s
const TOKEN = "atom_tracker_token";
const HINT = "Drag a box around a target. Click a target to remove it or learn it again.";

const el = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));

// ---------------------------------------------------------------- state

let socket = null;
let retry = 0.5; // s until the next attempt
let refused = ""; // why the server refuses this page; empty if it does not
let server = null; // the newest state message
let serverAt = 0; // s, performance.now() of its arrival
let shown = null; // {bitmap, header}: the picture on the canvas
let held = null; // the frozen picture while the user draws on it
let decoding = false;
let next = null; // the newest picture waiting to be decoded
let drawing = null; // {from: [x, y], to: [x, y], keyboard: bool} in px of the image
let cross = null; // [x, y] px of the image: position of the keyboard's cross
let relearn = 0; // number of the target that the next box relearns
let menuTarget = 0;
let pictureTimes = []; // s, times at which the last pictures were shown
const samples = new Map(); // target -> [{t, status, confidence}]
const pending = new Map(); // id -> {label, since, resolve, timer}
const cards = new Map(); // target -> elements of its card
let lastId = 0;

const seconds = () => performance.now() / 1000;

// ---------------------------------------------------------------- connection

function connect() {
  const url = new URL("ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(JSON.stringify({ type: "hello", token: sessionStorage.getItem(TOKEN) }));
  socket.onmessage = (event) => {
    if (typeof event.data === "string") receive(JSON.parse(event.data));
    else receivePicture(event.data);
  };
  socket.onclose = (event) => {
    server = null;
    for (const id of [...pending.keys()]) settle(id, false, "the connection was lost");
    refresh();
    if (event.code === 4401) return; // wrong token: the user is asked for it
    setTimeout(connect, retry * 1000);
    retry = Math.min(5, retry * 1.5);
  };
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Sends a request; resolves to {ok, message}. `label` is shown meanwhile. */
function request(label, message) {
  const id = ++lastId;
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(id, false, "no answer in time"), ANSWER * 1000);
    pending.set(id, { label, since: seconds(), resolve, timer });
    if (socket?.readyState === WebSocket.OPEN) send({ id, ...message });
    else settle(id, false, "there is no connection");
    showBusy();
  });
}

function settle(id, ok, message) {
  const entry = pending.get(id);
  if (!entry) return;
  clearTimeout(entry.timer);
  pending.delete(id);
  entry.resolve({ ok, message });
  if (!ok) say(message, true);
  showBusy();
}

function receive(message) {
  if (message.type === "state") receiveState(message);
  else if (message.type === "answer") settle(message.id, message.ok, message.message);
  else if (message.type === "tracks") receiveLateTracks(message);
  else if (message.type === "parameters") showParameters(message.parameters);
  else if (message.type === "welcome") welcome();
  else if (message.type === "refused") refuse(message);
  else if (message.type === "error") fail(message);
}

function fail(message) {
  if (pending.has(message.id)) settle(message.id, false, message.message);
  else say(message.message, true);
}

function welcome() {
  retry = 0.5;
  refused = "";
  samples.clear();
  el.login.close();
  send({ type: "watch", on: !document.hidden });
}

function refuse(message) {
  refused = message.message;
  if (!message.token) return;
  el["login-error"].textContent = sessionStorage.getItem(TOKEN) ? "This is not the token." : "";
  sessionStorage.removeItem(TOKEN);
  if (!el.login.open) el.login.showModal();
}

el["login-form"].addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, el.token.value.trim());
  el.token.value = "";
  connect();
});
el.login.addEventListener("cancel", (event) => event.preventDefault());
document.addEventListener("visibilitychange", () => send({ type: "watch", on: !document.hidden }));

// ---------------------------------------------------------------- pictures

function receivePicture(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const waiting = next;
  next = { header, jpeg: new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }) };
  if (waiting) confirmPicture(waiting.header);
  if (!decoding) decode();
}

async function decode() {
  decoding = true;
  while (next) {
    const { header, jpeg } = next;
    next = null;
    try {
      show(await createImageBitmap(jpeg), header);
    } catch (error) {
      say(`picture cannot be shown: ${error.message}`, true);
    }
    confirmPicture(header);
  }
  decoding = false;
}

function confirmPicture(header) {
  send({ type: "ack", sequence: header.sequence });
}

function show(bitmap, header) {
  const isOther = !shown || shown.header.width !== header.width || shown.header.height !== header.height;
  if (shown && shown !== held) shown.bitmap.close();
  shown = { bitmap, header };
  pictureTimes.push(seconds());
  if (isOther) fit();
  if (!held) draw();
}

function receiveLateTracks({ stamp, tracks }) {
  if (shown && String(shown.header.stamp) === String(stamp)) {
    shown.header.tracks = tracks;
    if (!held) draw();
  }
}

/** Freezes the picture; newer pictures are not shown. */
function hold() {
  held = shown;
  el.held.hidden = false;
}

function release() {
  if (held && held !== shown) held.bitmap.close();
  held = null;
  drawing = null;
  cross = null;
  el.held.hidden = true;
  draw();
}

// ---------------------------------------------------------------- canvas

const canvas = el.picture;
const pen = canvas.getContext("2d");

/** Makes the canvas as large as the stage allows for the picture. */
function fit() {
  if (!shown) return;
  const { width, height } = shown.header;
  const room = el.stage.clientWidth;
  const isTall = getComputedStyle(el.stage).height !== "auto" && matchMedia("(min-width: 56.01rem)").matches;
  const limit = isTall ? el.stage.clientHeight : window.innerHeight * 0.7;
  const scale = Math.min(room / width, limit / height);
  canvas.style.width = `${Math.max(1, Math.floor(width * scale))}px`;
  canvas.style.height = `${Math.max(1, Math.floor(height * scale))}px`;
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * scale * ratio));
  canvas.height = Math.max(1, Math.round(height * scale * ratio));
  draw();
}
new ResizeObserver(fit).observe(el.stage);

/** The scale from px of the image to px of the canvas. The image's first pixel has its centre at (0, 0). */
const toCanvas = ([x, y], { width, height }) => [((x + 0.5) * canvas.width) / width, ((y + 0.5) * canvas.height) / height];

function toImage(event) {
  const { width, height } = (held ?? shown).header;
  const area = canvas.getBoundingClientRect();
  const x = ((event.clientX - area.left) * width) / area.width - 0.5;
  const y = ((event.clientY - area.top) * height) / area.height - 0.5;
  return clamp([x, y], { width, height });
}

const clamp = ([x, y], { width, height }) => [
  Math.min(width - 0.5, Math.max(-0.5, x)),
  Math.min(height - 0.5, Math.max(-0.5, y)),
];

function boxBetween([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)];
}

function draw() {
  const picture = held ?? shown;
  if (!picture) return;
  const { header, bitmap } = picture;
  canvas.dataset.stamp = header.stamp.join("."); // identifies the image, for tests and debugging
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  for (const track of header.tracks ?? []) if (track.box) drawTrack(track, header);
  if (drawing) outline(boxBetween(drawing.from, drawing.to), header, DRAWN, [], 2.5);
  if (cross) drawCross(cross, header);
}

const unit = () => canvas.width / (parseFloat(canvas.style.width) || canvas.width); // px of the canvas per CSS px

function outline([x, y, width, height], header, color, dash, thickness) {
  const [left, top] = toCanvas([x, y], header);
  const [right, bottom] = toCanvas([x + width, y + height], header);
  for (const [stroke, extra] of [["rgb(0 0 0 / 65%)", 2], [color, 0]]) { // the dark line below is visible on bright pictures
    pen.strokeStyle = stroke;
    pen.lineWidth = (thickness + extra) * unit();
    pen.setLineDash(dash.map((value) => value * unit()));
    pen.strokeRect(left, top, right - left, bottom - top);
  }
  pen.setLineDash([]);
  return [left, top, right, bottom];
}

function drawTrack(track, header) {
  const state = STATES[track.status];
  const color = COLORS[state];
  const [left, top, right, bottom] = outline(track.box, header, color, state === "UNCERTAIN" ? [8, 5] : [], 3);
  const text = `${track.id}  ${state}${percent(track.confidence)}`;
  const size = 14 * unit();
  pen.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
  const width = pen.measureText(text).width + size;
  const y = top >= size * 1.7 ? top - size * 1.6 : Math.min(bottom + size * 0.2, canvas.height - size * 1.6);
  const x = Math.max(0, Math.min(left, canvas.width - width));
  pen.fillStyle = color;
  pen.fillRect(x, y, width, size * 1.5);
  pen.fillStyle = "#0b0e12";
  pen.fillText(text, x + size / 2, y + size * 1.1);
}

function drawCross(point, header) {
  const [x, y] = toCanvas(point, header);
  const arm = 14 * unit();
  for (const [stroke, thickness] of [["rgb(0 0 0 / 70%)", 4], [DRAWN, 2]]) {
    pen.strokeStyle = stroke;
    pen.lineWidth = thickness * unit();
    pen.beginPath();
    pen.moveTo(x - arm, y);
    pen.lineTo(x + arm, y);
    pen.moveTo(x, y - arm);
    pen.lineTo(x, y + arm);
    pen.stroke();
  }
}

const percent = (confidence) => (confidence === null || confidence === undefined ? "" : `  ${Math.round(100 * confidence)} %`);

// ---------------------------------------------------------------- pointing

let press = null; // {x, y, kind, pointer} of the screen

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0 || !shown || !server) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  closeMenu();
  release();
  hold();
  press = { x: event.clientX, y: event.clientY, kind: event.pointerType, pointer: event.pointerId };
  const point = toImage(event);
  drawing = { from: point, to: point };
  draw();
});

canvas.addEventListener("pointermove", (event) => {
  if (!press || event.pointerId !== press.pointer) return;
  drawing.to = toImage(event);
  draw();
});

canvas.addEventListener("pointerup", (event) => {
  if (!press || event.pointerId !== press.pointer) return;
  const moved = Math.hypot(event.clientX - press.x, event.clientY - press.y);
  const isClick = moved <= (CLICK[press.kind] ?? CLICK.mouse);
  press = null;
  drawing.to = toImage(event);
  if (isClick) click(drawing.from);
  else finish();
});

canvas.addEventListener("pointercancel", cancel);
canvas.addEventListener("contextmenu", (event) => press && event.preventDefault());

function cancel() {
  press = null;
  setRelearn(0);
  release();
}

/** The drawn box becomes the target, on the frozen picture. */
function finish() {
  const picture = held;
  const box = boxBetween(drawing.from, drawing.to);
  release();
  if (Math.min(box[2], box[3]) < MIN_SIDE) {
    say(`The box is ${box[2].toFixed(0)} x ${box[3].toFixed(0)} px; draw one of at least ${MIN_SIDE} x ${MIN_SIDE}.`, true);
    return;
  }
  const { stamp, topic } = picture.header;
  const target = relearn;
  setRelearn(0);
  const label = target ? `Learning target ${target} again` : "Learning the target";
  request(label, { type: "set_target", stamp, box, target, topic }).then(({ ok, message }) => ok && say(message));
}

function click(point) {
  const { tracks } = held.header;
  release();
  const hit = (tracks ?? []).filter(({ box }) => box && contains(box, point));
  hit.sort((a, b) => a.box[2] * a.box[3] - b.box[2] * b.box[3]); // the smallest is on top
  if (hit.length) openMenu(hit[0].id, point);
  else say("There is no target here. To track something, drag a box around it.");
}

const contains = ([x, y, width, height], [u, v]) => u >= x && u <= x + width && v >= y && v <= y + height;

// ---------------------------------------------------------------- keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  if (event.key === "Escape") cancel();
  if (!shown || !server || press || !(event.key in ARROWS || event.key === "Enter" || event.key === " ")) return;
  event.preventDefault();
  const { header } = held ?? shown;
  cross ??= [Math.round(header.width / 2), Math.round(header.height / 2)];
  if (event.key in ARROWS) {
    const step = event.shiftKey ? 1 : 10;
    const [dx, dy] = ARROWS[event.key];
    cross = clamp([cross[0] + dx * step, cross[1] + dy * step], header);
    if (drawing) drawing.to = cross;
    announce(drawing ? sizeText() : `Cross at ${cross.map(Math.round).join(", ")}`);
  } else if (!drawing) {
    if (!held) hold();
    drawing = { from: cross, to: cross };
    announce("Corner set; the picture is frozen. Move to the opposite corner.");
  } else {
    finish();
  }
  draw();
});

function sizeText() {
  const [, , width, height] = boxBetween(drawing.from, drawing.to);
  return `Box of ${Math.round(width)} by ${Math.round(height)} px`;
}

// ---------------------------------------------------------------- menu of a target

function openMenu(target, point) {
  menuTarget = target;
  el["menu-title"].textContent = `Target ${target}`;
  el.menu.hidden = false;
  const area = canvas.getBoundingClientRect();
  const stage = el.stage.getBoundingClientRect();
  const { width, height } = shown.header;
  const left = area.left - stage.left + ((point[0] + 0.5) / width) * area.width;
  const top = area.top - stage.top + ((point[1] + 0.5) / height) * area.height;
  el.menu.style.left = `${Math.max(0, Math.min(left, el.stage.clientWidth - el.menu.offsetWidth - 8))}px`;
  el.menu.style.top = `${Math.max(0, Math.min(top, el.stage.clientHeight - el.menu.offsetHeight - 8))}px`;
  el["menu-relearn"].focus();
}

function closeMenu() {
  if (el.menu.contains(document.activeElement)) canvas.focus({ preventScroll: true });
  el.menu.hidden = true;
}

el["menu-relearn"].addEventListener("click", () => { closeMenu(); setRelearn(menuTarget); });
el["menu-remove"].addEventListener("click", () => { closeMenu(); remove(menuTarget); });
el["menu-close"].addEventListener("click", closeMenu);
el.menu.addEventListener("keydown", (event) => event.key === "Escape" && closeMenu());

function setRelearn(target) {
  relearn = target;
  el.hint.textContent = target ? `Drag a box to learn target ${target} again. Escape cancels.` : HINT;
  el.hint.classList.toggle("active", Boolean(target));
  if (target) {
    canvas.focus({ preventScroll: true });
    announce(el.hint.textContent);
  }
}

function remove(target) {
  if (relearn === target) setRelearn(0);
  request(`Removing target ${target}`, { type: "remove_target", target }).then(({ ok, message }) => ok && say(message));
}

// ---------------------------------------------------------------- state

function receiveState(message) {
  const before = server;
  server = message;
  serverAt = seconds();
  for (const [, t, id, status, confidence] of message.samples) {
    if (!samples.has(id)) samples.set(id, []);
    samples.get(id).push({ t, status, confidence });
  }
  for (const [id, list] of samples) {
    while (list.length && list[0].t < message.now - HISTORY) list.shift();
    if (!list.length) samples.delete(id);
  }
  if (String(before?.cameras) !== String(message.cameras) || before?.camera.topic !== message.camera.topic) showCameras();
  refresh();
}

function refresh() {
  el.connection.textContent = server ? "connected" : refused || "no connection; trying again";
  el.connection.className = `chip ${server ? "good" : "bad"}`;
  showBanner();
  showTargets();
  showFigures();
  const isPaused = Boolean(server?.tracker.paused);
  el.pause.disabled = !server?.tracker.present;
  el.pause.setAttribute("aria-pressed", String(isPaused));
  el.pause.textContent = isPaused ? "Resume" : "Pause";
  el.camera.disabled = !server;
  showCameraNote();
}

/** The overall state for the frame and the banner: [kind, word, detail]. */
function condition() {
  if (!server) return ["problem", refused ? "NO ACCESS" : "NO CONNECTION", refused || "The page's server does not answer; trying again."];
  const { camera, tracker, targets } = server;
  if (camera.error) return ["problem", "NO PICTURE", camera.error];
  if (camera.age === null) return ["problem", "NO PICTURE", `Waiting for images on ${camera.topic}`];
  if (camera.age > STALE) return ["problem", "NO PICTURE", `The last image on ${camera.topic} came ${Math.round(camera.age)} s ago`];
  if (!tracker.present) return ["problem", "NO TRACKER", "The picture is live, but nothing is tracked."];
  if (tracker.paused) return ["paused", "PAUSED", "The tracker skips images and keeps the targets."];
  for (const state of ["LOST", "SEARCHING"]) {
    const found = targets.filter(({ status }) => STATES[status] === state).map(({ id }) => id);
    if (found.length) return [state.toLowerCase(), targets.length > 1 ? `${state} ${found.join(", ")}` : state, ""];
  }
  if (targets.some(({ status }) => STATES[status] === "UNCERTAIN")) return ["uncertain", "", ""];
  return [targets.length ? "tracking" : "none", "", ""];
}

function showBanner() {
  const [kind, word, detail] = condition();
  el.stage.dataset.state = kind;
  el.stage.classList.toggle("stale", word === "NO PICTURE" || word === "NO CONNECTION" || word === "NO ACCESS");
  el.banner.hidden = !word;
  const [strong, span] = el.banner.children;
  if (strong.textContent !== word) strong.textContent = word;
  if (span.textContent !== detail) span.textContent = detail;
  const summary = word || { uncertain: "UNCERTAIN", tracking: "TRACKING", none: "no target" }[kind];
  if (el.summary.textContent !== summary) el.summary.textContent = summary;
  document.title = `${summary} - atom_tracker`;
}

function showTargets() {
  const targets = server?.targets ?? [];
  el["no-target"].hidden = targets.length > 0;
  const ids = new Set(targets.map(({ id }) => id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      card.item.remove();
      cards.delete(id);
      if (relearn === id) setRelearn(0);
    }
  }
  for (const target of targets) {
    const card = cards.get(target.id) ?? addCard(target.id);
    const state = STATES[target.status];
    card.item.style.setProperty("--state", `var(--${state.toLowerCase()})`);
    card.state.textContent = state;
    card.confidence.textContent = percent(target.confidence).trim();
    plot(card.plot, target.id);
  }
}

function addCard(id) {
  const item = make("li");
  const line = make("div", "target-line");
  const card = { item, state: make("span", "target-state"), confidence: make("span", "target-confidence"), plot: make("canvas", "plot") };
  line.append(make("span", "", `Target ${id}`), card.state, card.confidence);
  card.plot.setAttribute("role", "img");
  const buttons = make("div", "target-buttons");
  const again = make("button", "", "Learn again");
  const gone = make("button", "danger", "Remove");
  again.type = gone.type = "button";
  again.setAttribute("aria-label", `Learn target ${id} again`);
  gone.setAttribute("aria-label", `Remove target ${id}`);
  again.addEventListener("click", () => setRelearn(id));
  gone.addEventListener("click", () => remove(id));
  buttons.append(again, gone);
  item.append(line, card.plot, buttons);
  el.targets.append(item);
  cards.set(id, card);
  return card;
}

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

// ---------------------------------------------------------------- the last minute

function plot(surface, id) {
  const list = samples.get(id) ?? [];
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const [width, height] = [surface.clientWidth * ratio, surface.clientHeight * ratio].map(Math.round);
  if (surface.width !== width || surface.height !== height) [surface.width, surface.height] = [width, height];
  const ink = surface.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`);
  const band = 7 * ratio;
  const top = 2 * ratio;
  const bottom = height - band - 3 * ratio;
  const now = server.now + seconds() - serverAt;
  const x = (t) => width * (1 - (now - t) / HISTORY);
  const y = (confidence) => bottom - (bottom - top) * confidence;
  ink.clearRect(0, 0, width, height);
  ink.strokeStyle = color("line");
  ink.lineWidth = 1;
  for (const level of [0, 0.5, 1]) line(ink, [[0, y(level)], [width, y(level)]]);
  ink.lineWidth = 2 * ratio;
  for (const [index, sample] of list.entries()) {
    const end = list[index + 1] ?? { t: sample.t + 0.3, confidence: sample.confidence };
    const until = Math.min(end.t, sample.t + 1); // longer gaps, such as a pause, stay empty
    const state = STATES[sample.status].toLowerCase();
    ink.fillStyle = ink.strokeStyle = color(state);
    // Lost and searching also have a taller band.
    const tall = state === "lost" || state === "searching" ? band : band * 0.55;
    ink.fillRect(x(sample.t), height - tall, Math.max(1, x(until) - x(sample.t)), tall);
    if (sample.confidence === null || end.t > sample.t + 1) continue;
    line(ink, [[x(sample.t), y(sample.confidence)], [x(end.t), y(end.confidence ?? sample.confidence)]]);
  }
  surface.setAttribute("aria-label", plotText(id, list));
}

function line(ink, points) {
  ink.beginPath();
  points.forEach(([px, py], index) => (index ? ink.lineTo(px, py) : ink.moveTo(px, py)));
  ink.stroke();
}

function plotText(id, list) {
  const counts = {};
  for (const { status } of list) counts[STATES[status]] = (counts[STATES[status]] ?? 0) + 1;
  const shares = Object.entries(counts).map(([state, count]) => `${state} ${Math.round((100 * count) / list.length)} %`);
  return `Confidence and state of target ${id} over the last minute: ${shares.join(", ") || "nothing yet"}`;
}

// ---------------------------------------------------------------- figures

function showFigures() {
  const now = seconds();
  pictureTimes = pictureTimes.filter((time) => now - time < 2);
  const tracker = server?.tracker ?? {};
  const ms = (value) => (value === null || value === undefined ? "-" : `${value} ms`);
  const plain = (value) => value ?? "-";
  const rows = {
    "Pictures here": `${(pictureTimes.length / 2).toFixed(0)} per second`,
    "Delay to this page": ms(server?.page.delay_ms),
    "Skipped here": plain(server?.page.skipped),
    "Camera": tracker.input_rate === undefined ? "-" : `${tracker.input_rate} per second`,
    "Tracker": server ? `${tracker.rate} per second` : "-",
    "Tracker's delay": ms(tracker.delay_ms),
    "Computing": ms(tracker.computing_ms),
    "Dropped, lost, failed": tracker.dropped === undefined ? "-" : `${tracker.dropped}, ${tracker.lost}, ${tracker.failed}`,
    "Device": tracker.device || "-",
    "Network": (tracker.network || "-").replace(/ \(.*/, ""),
    "Lifecycle": tracker.lifecycle || "-",
    "Pages open": plain(server?.page.clients),
  };
  const entries = Object.entries(rows);
  if (el.figures.children.length !== 2 * entries.length) {
    el.figures.replaceChildren(...entries.flatMap(([name]) => [make("dt", "", name), make("dd")]));
  }
  entries.forEach(([, value], index) => {
    const field = el.figures.children[2 * index + 1];
    if (field.textContent !== String(value)) field.textContent = value;
  });
}

// ---------------------------------------------------------------- camera and pause

function showCameras() {
  const { topic } = server.camera;
  const names = [...new Set([...server.cameras, topic])].sort();
  el.camera.replaceChildren(...names.map((name) => {
    const option = make("option", "", server.cameras.includes(name) ? name : `${name} (nobody publishes)`);
    option.value = name;
    return option;
  }));
  el.camera.value = topic;
}

function showCameraNote() {
  const base = (topic) => (topic ?? "").replace(/\/compressed$/, "");
  const { camera, tracker } = server ?? {};
  const differs = Boolean(tracker?.topic) && base(tracker.topic) !== base(camera.topic);
  el["camera-note"].hidden = !differs;
  const note = differs
    ? `The tracker listens to ${tracker.topic}, another camera: no boxes are shown on this picture, and none can be drawn.`
    : "";
  // A screen reader would repeat it at each change.
  if (el["camera-note"].textContent !== note) el["camera-note"].textContent = note;
}

el.camera.addEventListener("change", async () => {
  const { ok } = await request("Changing the camera", { type: "camera", topic: el.camera.value });
  if (!ok && server) el.camera.value = server.camera.topic;
});

el.pause.addEventListener("click", () => {
  const on = !server?.tracker.paused;
  request(on ? "Pausing" : "Resuming", { type: "pause", on });
});

// ---------------------------------------------------------------- parameters

const FINE = 1000; // steps of a logarithmic slider

function showParameters(rows) {
  el["no-parameters"].hidden = rows.length > 0;
  const names = rows.map(({ name }) => name).join();
  if (el.parameters.dataset.names !== names) {
    el.parameters.dataset.names = names;
    el.parameters.replaceChildren(...rows.map(addParameter));
  }
  rows.forEach((row, index) => {
    const node = el.parameters.children[index];
    if (!node.contains(document.activeElement) || node.dataset.sent) node.setValue(row.value);
  });
}

function addParameter(row) {
  const node = make("div", "parameter");
  const id = `parameter-${row.name}`;
  const label = make("label", "", row.name.replace(/^tracker\./, "").replaceAll("_", " "));
  label.htmlFor = id;
  label.title = row.name;
  const field = fieldOf(row);
  field.id = id;
  const help = make("small", "", row.text);
  help.id = `${id}-text`;
  field.setAttribute("aria-describedby", help.id);
  node.append(label, field);
  const slider = row.low !== null && row.high !== null ? sliderOf(row, field) : null;
  if (slider) node.append(slider.input);
  node.append(help);
  const change = (value) => sendParameter(node, row, value);
  field.addEventListener("change", () => change(row.kind === "bool" ? field.checked : isNumber(row) ? field.valueAsNumber : field.value));
  slider?.input.addEventListener("change", () => change(slider.value()));
  node.setValue = (value) => {
    row.value = value;
    if (row.kind === "bool") field.checked = value;
    else field.value = value;
    slider?.set(value);
  };
  return node;
}

const isNumber = ({ kind }) => kind === "int" || kind === "float";

function fieldOf(row) {
  if (row.kind === "choice") {
    const field = make("select");
    field.append(...row.choices.map((choice) => make("option", "", choice)));
    return field;
  }
  const field = make("input");
  field.type = { bool: "checkbox", text: "text" }[row.kind] ?? "number";
  if (isNumber(row)) {
    field.step = row.kind === "int" ? 1 : "any";
    if (row.low !== null) [field.min, field.max] = [row.low, row.high];
  }
  return field;
}

/** A slider, logarithmic if the range spans three powers of ten. */
function sliderOf(row, field) {
  const { low, high } = row;
  const isLog = low > 0 && high / low >= 1000;
  const input = make("input");
  input.type = "range";
  input.setAttribute("aria-label", `${row.name}, ${low} to ${high}`);
  input.min = isLog ? 0 : low;
  input.max = isLog ? FINE : high;
  input.step = isLog ? 1 : row.kind === "int" ? 1 : (high - low) / 200;
  const value = () => {
    const raw = isLog ? low * (high / low) ** (input.valueAsNumber / FINE) : input.valueAsNumber;
    return row.kind === "int" ? Math.round(raw) : Number(raw.toPrecision(3));
  };
  const set = (given) => {
    input.value = isLog ? (FINE * Math.log(given / low)) / Math.log(high / low) : given;
    input.setAttribute("aria-valuetext", String(given));
  };
  input.addEventListener("input", () => {
    field.value = value();
    input.setAttribute("aria-valuetext", String(value()));
  });
  return { input, value, set };
}

async function sendParameter(node, row, value) {
  if (isNumber(row) && !Number.isFinite(value)) {
    node.setValue(row.value);
    return;
  }
  node.classList.add("waiting");
  node.dataset.sent = "1";
  const before = row.value;
  const { ok } = await request(`Setting ${row.name}`, { type: "set_parameter", name: row.name, value });
  delete node.dataset.sent;
  node.classList.remove("waiting");
  node.setValue(ok ? value : before);
}

el.parameters.addEventListener("submit", (event) => event.preventDefault());

// ---------------------------------------------------------------- messages

function showBusy() {
  const [first] = pending.values();
  el.busy.hidden = !first;
  if (!first) return;
  const age = seconds() - first.since;
  el["busy-text"].textContent = `${first.label} ...${age >= 1 ? ` ${age.toFixed(0)} s` : ""}`;
}

function say(text, isError = false) {
  const node = make("div", `message${isError ? " error" : ""}`);
  if (isError) node.setAttribute("role", "alert");
  const close = make("button", "", "×");
  close.type = "button";
  close.setAttribute("aria-label", "Close this message");
  close.addEventListener("click", () => node.remove());
  node.append(make("span", "", text), close);
  el.messages.append(node);
  while (el.messages.children.length > 3) el.messages.firstChild.remove();
  setTimeout(() => node.remove(), isError ? 12000 : 4000);
}

function announce(text) {
  el.announcements.textContent = text;
}

setInterval(() => {
  showBusy();
  if (server && seconds() - serverAt > 3 && socket.readyState === WebSocket.OPEN) socket.close(); // silent for 3 s
}, 500);

connect();
