"use strict";
/* The explorer's page: sliders to a state, the state to the address, and the pictures. The numbers come from model.js. */

const PAGE = JSON.parse(document.getElementById("page").textContent);
const DEFAULTS = { ...PAGE.fixed };
PAGE.sliders.forEach((slider) => (DEFAULTS[slider.name] = slider.value));
PAGE.choices.forEach((choice) => (DEFAULTS[choice.name] = choice.value));
let state = { ...DEFAULTS };
const element = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const shown = (value) => (Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4) || value === 0 ? String(+value.toPrecision(4)) : value.toExponential(3);

/* Sliders. A logarithmic one moves the exponent of ten. */
const toSlider = (one, value) => (one.log ? Math.log10(value) : value);
const fromSlider = (one, value) => +(one.log ? 10 ** value : value).toPrecision(12);

function build() {
  PAGE.groups.forEach((group) => {
    const box = document.createElement(group.open ? "div" : "details");
    box.innerHTML = group.open ? `<h2>${group.title}</h2>` : `<summary>${group.title}</summary>`;
    PAGE.choices.filter((one) => one.group === group.title).forEach((one) => box.append(chooser(one)));
    PAGE.sliders.filter((one) => one.group === group.title).forEach((one) => box.append(slider(one)));
    element("controls").append(box);
  });
  element("reset").onclick = () => set({ ...DEFAULTS });
  document.querySelectorAll("[data-copy]").forEach((button) => (button.onclick = () => copy(button)));
  document.querySelectorAll("canvas[data-map]").forEach((map) => (map.onclick = (event) => pick(map, event)));
  element("points").onchange = draw;
  window.addEventListener("resize", later);
  window.addEventListener("hashchange", () => location.hash.slice(1) !== address() && set(read()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  set(read());
}

function slider(one) {
  const row = document.createElement("label");
  row.className = "slider";
  row.innerHTML = `<span title="${one.about}">${one.label}</span><output id="value-${one.name}"></output>
    <input type="range" id="${one.name}" min="${toSlider(one, one.low)}" max="${toSlider(one, one.high)}" step="${one.step}" aria-label="${one.about}">`;
  row.querySelector("input").oninput = (event) => {
    const value = fromSlider(one, +event.target.value);
    set(one.name === "alpha" ? { exposure: exposureOf(value) } : { [one.name]: value });
  };
  return row;
}

function chooser(one) {
  const row = document.createElement("label");
  row.className = "slider";
  row.innerHTML = `<span>${one.label}</span><select id="${one.name}">${one.options.map((name) => `<option>${name}</option>`).join("")}</select>`;
  row.querySelector("select").onchange = (event) => set({ [one.name]: one.numeric ? +event.target.value : event.target.value });
  return row;
}

/** The exposure at which stage 1 has mixture weight alpha; at most 1. */
function exposureOf(alpha) {
  return Math.min(1, (alpha * state.pre_time) / ((1 - alpha) * state.step_ratio * state.post_time));
}

/* State, address, and one picture for every frame at most. */
function set(changes) {
  state = { ...state, ...changes };
  [...PAGE.sliders, ...PAGE.choices].forEach((one) => {
    const value = one.name === "alpha" ? stages(state).alpha : state[one.name];
    element(one.name).value = one.options ? value : toSlider(one, value);
    if (!one.options) element("value-" + one.name).textContent = shown(value);
  });
  element("t_post").disabled = state.split === "compute-matched";
  later();
}

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

const changed = () => Object.keys(DEFAULTS).filter((name) => name !== "alpha" && state[name] !== DEFAULTS[name]);
const address = () => changed().map((name) => `${name}=${encodeURIComponent(state[name])}`).join("&");

function read() {
  const found = { ...DEFAULTS };
  new URLSearchParams(location.hash.slice(1)).forEach((text, name) => {
    const one = [...PAGE.sliders, ...PAGE.choices].find((known) => known.name === name);
    if (!one) return;
    if (one.options) found[name] = one.options.map(String).includes(text) ? (one.numeric ? +text : text) : found[name];
    else if (text !== "" && +text >= one.low && +text <= one.high) found[name] = +text;
  });
  return found;
}

/* What reproduces the state outside the page. */
function asCommand(model) {
  const options = settingsFor(model).map(([name, value]) => `--${name.replaceAll("_", "-")} ${value}`);
  return `python -m theory solve --model ${model} ${options.join(" ")}`;
}

function asPython(model) {
  const given = settingsFor(model).map(([name, value]) => `${name}=${typeof value === "string" ? JSON.stringify(value) : value}`);
  return `from theory import predict\n\npredict(${given.join(", ")}, model="${model}")`;
}

function settingsFor(model) {
  const budget = model === "S" ? [["pre_time", PAGE.tokens_pre], ["post_time", state.corpus]] : ["pre_time", "post_time", "step_ratio"].map((name) => [name, state[name]]);
  const common = [["exposure", state.exposure], ["split", state.split], ...budget];
  if (model === "S") {
    const passes = state.split === "compute-matched" ? 1 : state.passes;
    const own = ["floor", "amplitude", "power", "offset", "post_worth", "constant", "lost"].map((name) => [name, state[name]]);
    return [...common, ...own, ["passes", passes], ...(state.split === "compute-matched" ? [] : [["t_post", state.corpus]])];
  }
  const own = PAGE.settings[model].map(([name, mine]) => [name, state[mine]]);
  return [...common, ...own.filter(([name]) => name !== "t_post" || state.split !== "compute-matched")];
}

function copy(button) {
  const model = element("copied-model").value, text = button.dataset.copy === "link" ? location.href : button.dataset.copy === "python" ? asPython(model) : asCommand(model);
  element("copied").textContent = text;
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(() => {});
}

function pick(map, event) {
  const box = map.getBoundingClientRect(), frame = map.frame;
  if (!frame) return;
  const exposure = ((event.clientX - box.left) - frame.left) / frame.width, row = 1 - (event.clientY - box.top - frame.top) / frame.height;
  if (exposure < 0 || exposure > 1 || row < 0 || row > 1) return;
  set({ exposure: +exposure.toFixed(2), t_ft: +(10 ** (PAGE.times[0] + row * (PAGE.times[1] - PAGE.times[0]))).toPrecision(3) });
}

/* Drawing. */
const COUNT = 33;
const grid = (count) => Array.from({ length: count }, (_, i) => i / (count - 1));
let known = "", curves = {};

function draw() {
  const timed = performance.now();
  history.replaceState(null, "", address() ? "#" + address() : location.pathname + location.search);
  const key = JSON.stringify({ ...state, exposure: 0 });
  if (key !== known) {
    known = key;
    curves = {
      plain: grid(65).map((at) => [at, plainLosses(state, at)]),
      pathways: grid(COUNT).map((at) => [at, pathwayLosses(state, at, ROUGH)]),
      law: grid(65).map((at) => [at, lawLosses(state, at)]),
    };
    requestAnimationFrame(maps); // a frame later: curves follow the finger first
  } else if (curves.maps) drawMaps();
  const now = { plain: plainLosses(state), pathways: pathwayLosses(state), law: lawLosses(state) };
  paths(element("modes"), plainPaths(state, 30), BLOCKS, ["blue", "red", "green"]);
  paths(element("paths"), pathwayPaths(state, 12, ROUGH), BLOCKS.slice(1), ["red", "green"]);
  losses(element("curve-plain"), curves.plain, "squared error", []);
  losses(element("curve-pathways"), curves.pathways, "squared error", []);
  losses(element("curve-law"), curves.law, "nats per token", element("points").checked ? published() : []);
  LOSSES.forEach((loss) => Object.entries(now).forEach(([model, found]) => {
    const cell = element(`${model}-${loss}`);
    cell.textContent = found[loss] === undefined ? "–" : shown(found[loss]);
    cell.dataset.value = found[loss] ?? "";
  }));
  document.body.dataset.milliseconds = (performance.now() - timed).toFixed(1);
  document.body.dataset.drawn = address() || "default";
}

let mapping = "";
function maps() {
  if (mapping === known) return;
  mapping = known;
  const times = grid(16).map((row) => 10 ** (PAGE.times[0] + row * (PAGE.times[1] - PAGE.times[0])));
  curves.maps = ["plain", "pathways"].map((kind) => changeMap(state, grid(25), times, kind));
  drawMaps();
}

function drawMaps() {
  mapped(element("map-plain"), curves.maps[0]);
  mapped(element("map-pathways"), curves.maps[1]);
}

const published = () => PAGE.published.filter((point) => point.split === state.split && point.corpus === state.corpus);

/** A canvas ready to draw on: its context, and functions from data to pixels. */
function frameOf(canvas, [x0, x1], [y0, y1], xTicks, yTicks, xName, yName) {
  const ratio = devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
  canvas.width = wide * ratio;
  canvas.height = high * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "12px system-ui, sans-serif";
  const frame = { left: 52, top: 10, width: wide - 62, height: high - 48 };
  canvas.frame = frame;
  const x = (value) => frame.left + ((value - x0) / (x1 - x0)) * frame.width, y = (value) => frame.top + (1 - (value - y0) / (y1 - y0)) * frame.height;
  pen.strokeStyle = colour("line");
  pen.fillStyle = colour("text");
  pen.strokeRect(frame.left, frame.top, frame.width, frame.height);
  pen.textAlign = "center";
  xTicks.forEach(([value, text]) => pen.fillText(text, x(value), frame.top + frame.height + 15));
  pen.fillText(xName, frame.left + frame.width / 2, high - 6);
  pen.textAlign = "right";
  yTicks.forEach(([value, text]) => pen.fillText(text, frame.left - 5, y(value) + 4));
  pen.save();
  pen.translate(11, frame.top + frame.height / 2);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText(yName, 0, 0);
  pen.restore();
  return { pen, x, y, frame };
}

function ticksOf(low, high) {
  const raw = (high - low) / 4, unit = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((m) => m * unit).find((m) => m >= raw);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) found.push([value, String(+value.toPrecision(3))]);
  return found;
}

function range(values) {
  const real = values.filter(Number.isFinite), low = Math.min(...real), high = Math.max(...real);
  const pad = Math.max(0.06 * (high - low), 1e-3 * Math.abs(high), 1e-12);
  return [low - pad, high + pad];
}

function line({ pen, x, y }, points, name, dash, width = 2) {
  pen.strokeStyle = colour(name);
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  points.forEach(([at, value], i) => (i ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
  pen.stroke();
  pen.setLineDash([]);
}

const LAMBDA = [0, 0.25, 0.5, 0.75, 1].map((at) => [at, String(at)]);
const STYLES = { loss_im: ["text", []], loss_ret: ["purple", []] };

function losses(canvas, curve, unit, points) {
  const names = Object.keys(STYLES), values = curve.flatMap(([, found]) => names.map((name) => found[name]));
  const [low, high] = range([...values, ...points.flatMap((point) => [point.loss_im, point.loss_ret])]);
  const at = frameOf(canvas, [0, 1], [low, high], LAMBDA, ticksOf(low, high), "early exposure λ", unit);
  line(at, [[state.exposure, low], [state.exposure, high]], "line", [3, 3], 1);
  names.forEach((name) => {
    line(at, curve.map(([exposure, found]) => [exposure, found[name]]), STYLES[name][0], STYLES[name][1]);
    at.pen.fillStyle = colour(STYLES[name][0]);
    points.forEach((point) => {
      at.pen.beginPath();
      at.pen.arc(at.x(point.exposure), at.y(point[name]), 3.5, 0, 7);
      at.pen.fill();
    });
  });
  const best = curve.reduce((least, one) => (one[1].loss_ret < least[1].loss_ret ? one : least));
  at.pen.fillStyle = colour("purple");
  at.pen.textAlign = "center";
  at.pen.fillText("▾", at.x(best[0]), at.y(best[1].loss_ret) - 4);
  canvas.setAttribute("aria-label", `loss_im and loss_ret against exposure; loss_ret is least at ${shown(best[0])}`);
}

function paths(canvas, found, names, colours) {
  const [low, high] = range([0, ...found.flat().map(([, value]) => value)]);
  const at = frameOf(canvas, [0, 3], [low, high], [[0.5, "stage 1"], [1.5, "stage 2"], [2.5, "stage 3"]], ticksOf(low, high), "", "strength");
  [1, 2].forEach((end) => line(at, [[end, low], [end, high]], "line", [], 1));
  found.forEach((path, i) => line(at, path, colours[i], [[], [6, 3], [8, 3, 2, 3]][names.length === 3 ? i : i + 1]));
  canvas.setAttribute("aria-label", `strengths after stage 3: ${found.map((path, i) => `${names[i]} ${shown(path.at(-1)[1])}`).join(", ")}`);
}

function mapped(canvas, columns) {
  const [low, high] = PAGE.times, most = Math.max(1e-9, ...columns.flat().filter(Number.isFinite).map(Math.abs));
  const at = frameOf(canvas, [0, 1], [low, high], LAMBDA, ticksOf(low, high).map(([value]) => [value, shown(10 ** value)]), "early exposure λ", "fine-tuning time");
  const wide = at.frame.width / columns.length, tall = at.frame.height / columns[0].length;
  columns.forEach((column, i) => column.forEach((change, j) => {
    at.pen.fillStyle = change < 0 ? colour("blue") : colour("red");
    at.pen.globalAlpha = Math.min(1, Math.abs(change) / most);
    at.pen.fillRect(at.frame.left + i * wide, at.frame.top + at.frame.height - (j + 1) * tall, wide + 0.5, tall + 0.5);
  }));
  at.pen.globalAlpha = 1;
  at.pen.strokeStyle = colour("text");
  at.pen.lineWidth = 2;
  at.pen.beginPath();
  at.pen.arc(at.x(state.exposure), at.y(Math.min(high, Math.max(low, Math.log10(state.t_ft)))), 5, 0, 7);
  at.pen.stroke();
  canvas.setAttribute("aria-label", `change of loss_ret by exposure and fine-tuning time; the largest is ${shown(most)}`);
}

build();
