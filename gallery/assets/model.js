"use strict";
/* The three stages in the three kinds of model, put together from the generated functions (gallery/formulas.py). No drawing here. */

const BLOCKS = ["invariant", "inconsistent", "specialised"];
const LOSSES = ["loss_im", "loss_ret", "loss_ft", "loss_pre"];

/** Flow times and mixture weight that a state's recipe means; `exposure` in the place of its own, for curves. */
function stages(s, exposure = s.exposure) {
  const [alpha, t_pre, matched] = realise(exposure, s.pre_time, s.post_time, s.step_ratio, s.replay);
  return { alpha, t_pre, t_post: s.split === "compute-matched" ? matched : s.t_post };
}

/** The three kinds of modes: variances and targets under pre, post, ft, and how many there are. */
function modesOf(s) {
  return [
    { values: [1, 1, 1, s.sigma_inv, s.sigma_inv, s.sigma_inv], count: s.n - 2 * s.k },
    { values: [1, 1, 1, s.sigma_pre, s.sigma_post, s.sigma_ft], count: s.k },
    { values: [0, 1, s.leakage, 0, s.beta, 0], count: s.k },
  ];
}

/** Every mode's [strength, shortfall] at the start and after each stage; `fractions` of the stages for a trajectory. */
function plainStates(s, exposure) {
  const when = stages(s, exposure);
  return modesOf(s).map(({ values }) => {
    const start = s.init_scale * s.init_scale;
    const first = [start, values[4] - start];
    const drives = [drive1(when.alpha, ...values), drive2(s.replay, s.dropout, ...values), drive3(...values)];
    const times = [when.t_pre, when.t_post, s.t_ft];
    const states = [first];
    drives.forEach((drive, i) => states.push(stage(...states[i], ...drive, times[i])));
    return { states, drives, times };
  });
}

function plainLosses(s, exposure) {
  const modes = modesOf(s), solved = plainStates(s, exposure);
  const sum = (variance, gap) => modes.reduce((total, mode, i) => total + mode.count * mode.values[variance] * gap(i) ** 2, 0);
  return {
    loss_im: sum(1, (i) => solved[i].states[2][1]),
    loss_ret: sum(1, (i) => solved[i].states[3][1]),
    loss_ft: sum(2, (i) => solved[i].states[3][0] - modes[i].values[5]),
    loss_pre: sum(0, (i) => solved[i].states[3][0] - modes[i].values[3]),
  };
}

/** Strength of every mode along the three stages, `points` times in each. */
function plainPaths(s, points) {
  return plainStates(s).map(({ states, drives, times }) => {
    const path = [];
    for (let i = 0; i < 3; i++)
      for (let j = 0; j <= points; j++) path.push([i + j / points, stage(...states[i], ...drives[i], (times[i] * j) / points)[0]]);
    return path;
  });
}

/* Linearly implicit Euler, extrapolated to order ten, as in theory/pathways_flow.py. */
const COLUMNS = 10, DRAFT = 6, ATTEMPTS = 5000;
const EXACT = 5e-11, ROUGH = 1e-6;

const SEPARATE = { velocity: separate, jacobian: separateJacobian }, SHARED = { velocity: shared, jacobian: sharedJacobian };

function attempt(field, x, y, pull, step, columns) {
  const [fx, fy] = field.velocity(x, y, ...pull), [jxx, jxy, jyx, jyy] = field.jacobian(x, y, ...pull);
  let rowX = [], rowY = [];
  for (let n = 1; n <= columns; n++) {
    const h = step / n, hxy = h * jxy, hyx = h * jyx, px = 1 - h * jxx, py = 1 - h * jyy;
    const scale = h / (px * py - hxy * hyx);
    const xx = scale * py, xy = scale * hxy, yx = scale * hyx, yy = scale * px;
    let dx = xx * fx + xy * fy, dy = yx * fx + yy * fy;
    for (let i = 1; i < n; i++) {
      const [gx, gy] = field.velocity(x + dx, y + dy, ...pull);
      [dx, dy] = [dx + (xx * gx + xy * gy), dy + (yx * gx + yy * gy)];
    }
    rowX = extrapolate(rowX, dx);
    rowY = extrapolate(rowY, dy);
  }
  const last = columns - 1;
  return [rowX[last], rowY[last], rowX[last] - rowX[last - 1], rowY[last] - rowY[last - 1]];
}

function extrapolate(previous, value) {
  const row = [value], n = previous.length + 1;
  previous.forEach((above, i) => row.push(row[i] + ((row[i] - above) * (n - i - 1)) / (i + 1)));
  return row;
}

/** Both coordinates at the end of a stage of length `time`. */
function flow(field, x, y, pull, time, tolerance) {
  const [fx, fy] = field.velocity(x, y, ...pull);
  const columns = tolerance < ROUGH ? COLUMNS : DRAFT;
  let left = 1, length = 1 / (1 + time * (Math.abs(fx) + Math.abs(fy)));
  for (let i = 0; i < ATTEMPTS && left > 0; i++) {
    length = Math.min(length, left);
    const [dx, dy, ex, ey] = attempt(field, x, y, pull, length * time, columns);
    const error = Math.max(Math.abs(ex), Math.abs(ey)) / tolerance;
    if (error <= 1) [x, y, left] = [x + dx, y + dy, left - length];
    length *= error < Infinity ? Math.min(8, Math.max(0.2, 0.9 * Math.max(error, 1e-12) ** (-1 / columns))) : 0.2;
  }
  return left > 0 ? [NaN, NaN] : [x, y];
}



/** The two coordinates after each stage, with a unit each ("rp") or one for both ("rp-shared"). */
function pathwayStates(s, exposure, tolerance = EXACT) {
  const when = stages(s, exposure), together = s.pathways === "rp-shared";
  const targets = [s.path_pre, s.path_post, s.path_ft, s.beta, s.correlation];
  const pulls = [pull1(when.alpha, ...targets), pull2(s.replay, s.dropout, together ? 1 : 0, ...targets), pull3(...targets)];
  const field = together ? SHARED : SEPARATE, seed = 2 * Math.log(s.init_scale);
  const states = [[seed, together ? 0 : seed]];
  [when.t_pre, when.t_post, s.t_ft].forEach((time, i) => states.push(flow(field, ...states[i], pulls[i], time, tolerance)));
  return { states, pulls, field, together, targets, times: [when.t_pre, when.t_post, s.t_ft] };
}

/** Strengths (a, b) of the coordinates. */
function strengthsOf([x, y], together) {
  if (!together) return [Math.exp(x), Math.exp(y)];
  const size = Math.exp(x), half = 1 / (1 + y * y);
  return [size * (2 * half - 1), size * 2 * y * half];
}

function pathwayLosses(s, exposure, tolerance) {
  const { states, together, targets } = pathwayStates(s, exposure, tolerance);
  return lossesOf(strengthsOf(states[2], together), strengthsOf(states[3], together), targets);
}

function lossesOf(post, ft, targets) {
  return {
    loss_im: pathwayLoss(...post, ...targets)[0],
    loss_ret: pathwayLoss(...ft, ...targets)[0],
    loss_ft: (ft[0] - targets[2]) ** 2,
    loss_pre: (ft[0] - targets[0]) ** 2,
  };
}

function pathwayPaths(s, points, tolerance) {
  const { states, pulls, field, together, times } = pathwayStates(s, undefined, tolerance);
  const paths = [[], []];
  for (let i = 0; i < 3; i++) {
    let at = states[i];
    for (let j = 0; j <= points; j++) {
      if (j) at = flow(field, ...at, pulls[i], times[i] / points, tolerance);
      strengthsOf(at, together).forEach((value, which) => paths[which].push([i + j / points, value]));
    }
  }
  return paths;
}

/** The law S: D_post has `corpus` million tokens, stage 2 repeats it where its length is independent of the exposure. */
function lawLosses(s, exposure = s.exposure) {
  const matched = s.split === "compute-matched";
  const second = s.post_worth * (matched ? (1 - exposure) * s.corpus : s.passes * s.corpus);
  const [loss_im, loss_ret] = law(exposure * s.corpus, second, s.floor, s.amplitude, s.power, s.offset, s.constant, s.lost);
  return { loss_im, loss_ret };
}

/** loss_ret with exposure minus without, for exposures (columns) and fine-tuning times (rows), plain or pathways. */
function changeMap(s, exposures, times, kind) {
  const losses = (exposure) => {
    if (kind === "plain") {
      const modes = modesOf(s), solved = plainStates(s, exposure);
      return times.map((time) => {
        const gaps = solved.map((mode) => stage(...mode.states[2], ...mode.drives[2], time)[1]);
        return gaps.reduce((total, gap, i) => total + modes[i].count * modes[i].values[1] * gap * gap, 0);
      });
    }
    const one = pathwayStates({ ...s, t_ft: 0 }, exposure, ROUGH);
    let at = one.states[2], before = 0;
    return times.map((time) => {
      at = flow(one.field, ...at, one.pulls[2], time - before, ROUGH);
      before = time;
      return pathwayLoss(...strengthsOf(at, one.together), ...one.targets)[0];
    });
  };
  const without = losses(0);
  return exposures.map((exposure) => losses(exposure).map((loss, row) => loss - without[row]));
}
