// SPDX-License-Identifier: MIT OR Apache-2.0
// Copyright (c) 2026 The SONA authors
//
// The peer and we in one process, in turns: a block of each in every round, every other round in
// the other order; ratios are taken within a round. One JSON object a line.
//
// usage: node compare.js PEER BINDING [--quick] [--data FILE.bin]
'use strict';
const fs = require('fs');
const args = process.argv.slice(2);
const quick = args.includes('--quick');
const dataAt = args.indexOf('--data');
const data = dataAt >= 0 ? args[dataAt + 1] : null;
const { SonaEngine } = require(args[0]);
const ours = require(args[1]);

const ATTENTION = 64;
const ROUND_NS = 3e5; // of a block, about
const ROUNDS = quick ? 7 : 61;

let state = 12345;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
}

function unit(dim) {
  const x = Array.from({ length: dim }, () => random() - 0.5);
  const norm = Math.hypot(...x);
  return x.map((v) => v / norm);
}

function sorted(values) {
  return Float64Array.from(values).sort();
}

function percentile(values, p) {
  const s = sorted(values);
  return s[Math.max(0, Math.ceil(p * s.length) - 1)];
}

// Median and its 95 % interval by order statistics.
function median(values) {
  const s = sorted(values);
  const n = s.length;
  const spread = 0.98 * Math.sqrt(n);
  const at = (i) => s[Math.min(n - 1, Math.max(0, i))];
  const middle = n % 2 ? s[(n - 1) / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
  return [middle, at(Math.floor(n / 2 - spread)), at(Math.ceil(n / 2 + spread))];
}

function timed(side, n) {
  if (side.native) return side.native(n);
  const start = process.hrtime.bigint();
  for (let i = 0; i < n; i++) side.run();
  return Number(process.hrtime.bigint() - start);
}

// Sides are {name: {run} or {native: n => ns}}; returns ns a call of each, by round.
function measure(sides, rounds, block) {
  const names = Object.keys(sides);
  const calls = {};
  const times = {};
  for (const name of names) {
    let n = 1;
    for (let warm = 0; warm < 3; warm++) timed(sides[name], 1);
    while (!block && timed(sides[name], n) < ROUND_NS / 2 && n < 1 << 20) n *= 2;
    calls[name] = block || n;
    times[name] = [];
  }
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 ? [...names].reverse() : names;
    for (const name of order) times[name].push(timed(sides[name], calls[name]) / calls[name]);
  }
  times.calls = calls;
  return times;
}

function told(values) {
  return {
    min: percentile(values, 0), p50: percentile(values, 0.5), p90: percentile(values, 0.9),
    p99: percentile(values, 0.99),
  };
}

// The peer's line; beside it ours through the same Node, ours without Node, and Node alone.
function report(name, times, note) {
  const peer = times.peer;
  const ratio = median(peer.map((t, i) => t / times.node[i]));
  const line = {
    name, unit: 'ns', ...told(peer), iterations: peer.length * times.calls.peer,
    block: times.calls.peer, floor: { what: 'ours, through the same Node', ...told(times.node) },
    ratio: ratio[0], ratio_95: [ratio[1], ratio[2]], fraction: 1 / ratio[0],
  };
  for (const other of ['typed', 'native', 'convert'])
    if (times[other]) line[other] = told(times[other]);
  if (times.native) {
    // What the peer takes when the arrays' way in and out is taken off, in the same round.
    const off = times.convert || times.peer.map(() => 0);
    const bare = peer.map((t, i) => t - off[i]);
    line.peer_less_node = told(bare);
    line.ratio_native = median(bare.map((t, i) => t / times.native[i]));
  }
  if (note) line.note = note;
  console.log(JSON.stringify(line));
}

function peerOf(dim, more) {
  return SonaEngine.withConfig({
    hiddenDim: dim, embeddingDim: dim, microLoraRank: 2, baseLoraRank: 8, microLoraLr: 0.002,
    baseLoraLr: 0.0001, ewcLambda: 2000, patternClusters: 100, trajectoryCapacity: 10000,
    qualityThreshold: 0.3, enableSimd: true, ...more,
  });
}

function teachPeer(peer, x, attention, quality) {
  const id = peer.beginTrajectory(x);
  peer.addTrajectoryStep(id, x, attention, quality);
  peer.endTrajectory(id, quality);
}

function teachOurs(x, attention, quality) {
  const id = ours.begin(x);
  ours.step(id, x, attention, quality);
  ours.end(id, quality);
}

const attention = Array(ATTENTION).fill(1 / ATTENTION);

function both(dim, n, background = 1) {
  const peer = peerOf(dim);
  ours.create(dim, 9, 100, background);
  for (let i = 0; i < n; i++) {
    const x = unit(dim);
    teachPeer(peer, x, attention, 0.4 + 0.6 * random());
    teachOurs(x, attention, 0.4 + 0.6 * random());
  }
  peer.forceLearn();
  ours.learn();
  return peer;
}

function adapters(dim) {
  const peer = both(dim, quick ? 200 : 1000);
  const x = unit(dim);
  const typedX = Float32Array.from(x);
  const typedY = new Float32Array(dim);
  report(`peer/micro/${dim}`, measure({
    peer: { run: () => peer.applyMicroLora(x) },
    node: { run: () => ours.applyMicro(x) },
    typed: { run: () => ours.applyMicroTyped(typedX, typedY) },
    convert: { run: () => ours.convert(x) },
    native: { native: (n) => ours.native('micro', n, x) },
  }, ROUNDS));
  report(`peer/base/${dim}`, measure({
    peer: { run: () => peer.applyBaseLora(0, x) },
    node: { run: () => ours.applyBase(0, x) },
    convert: { run: () => ours.convert(x) },
    native: { native: (n) => ours.native('base', n, x) },
  }, ROUNDS));
  return peer;
}

function trajectories(dim) {
  // Neither runs a background cycle within the calls; ours learns from each outcome in them.
  const peer = both(dim, 200, 0);
  const x = unit(dim);
  report(`peer/trajectory/${dim}`, measure({
    peer: { run: () => teachPeer(peer, x, attention, 0.8) },
    node: { run: () => teachOurs(x, attention, 0.8) },
    native: { native: (n) => ours.native('trajectory', n, x) },
  }, quick ? 5 : 61, 40), 'begin + step of 256 + 64 numbers + end; ours learns in it, too');
}

function patterns(dim) {
  const peer = both(dim, quick ? 300 : 1000);
  const x = unit(dim);
  const held = peer.findPatterns(x, 1000).length;
  report(`peer/patterns/100/${dim}`, measure({
    peer: { run: () => peer.findPatterns(x, 5) },
    node: { run: () => ours.findPatterns(x, 5) },
    native: { native: (n) => ours.native('patterns', n, x) },
  }, ROUNDS), `k = 5; the peer holds ${held} patterns`);
}

// A background cycle after `fresh` new trajectories, again and again: does it grow?
function cycles(dim, fresh, times) {
  const peer = peerOf(dim);
  ours.create(dim, 9, 100, 1);
  const found = { peer: [], node: [], calls: { peer: 1 } };
  for (let round = 0; round < times; round++) {
    for (let i = 0; i < fresh; i++) {
      const x = unit(dim);
      teachPeer(peer, x, attention, 0.8);
      teachOurs(x, attention, 0.8);
    }
    found.peer.push(timed({ run: () => peer.forceLearn() }, 1));
    found.node.push(timed({
      run: () => { if (ours.learn() === 0) throw new Error('our cycle did not run'); },
    }, 1));
  }
  const last = found.peer.length - 1;
  report(`peer/background/${fresh}/${dim}`, found,
    `first ${(found.peer[0] / 1e6).toFixed(1)} ms, last ${(found.peer[last] / 1e6).toFixed(1)} ms` +
    ` of ${times}; ours ${(found.node[0] / 1e6).toFixed(1)} and ` +
    `${(found.node[last] / 1e6).toFixed(1)} ms`);
}

// A data set of routing: rows of {x, quality[routes]} (tools/dataset.h).
function load(path) {
  const file = fs.readFileSync(path);
  const [n, dim, routes] = [8, 12, 16].map((at) => file.readUInt32LE(at));
  const rows = [];
  let at = 24 + 4 * routes;
  for (let i = 0; i < n; i++) {
    const scale = file.readFloatLE(at + 2);
    const quality = Array.from({ length: routes }, (_, k) => file.readFloatLE(at + 6 + 4 * k));
    const from = at + 6 + 4 * routes;
    rows.push({ quality, x: Array.from({ length: dim }, (_, k) => file.readInt8(from + k) * scale) });
    at = from + dim;
  }
  return { rows, dim, routes };
}

// The peer's API names a route in a trajectory and never gives it back: a pattern has none. So it
// is given its best chance: an engine for each route, taught what came of that route alone; the
// route whose nearest patterns promise most is taken, one query in twenty at random.
function peerPolicy(set) {
  const engines = Array.from({ length: set.routes },
    () => peerOf(set.dim, { qualityThreshold: 0 }));
  let turn = 0;
  return {
    choose(x) {
      if (random() < 0.05) return Math.floor(random() * set.routes);
      const worth = engines.map((engine) => {
        const near = engine.findPatterns(x, 5);
        if (near.length === 0) return 1; // not tried yet
        const values = near.map((p) => p.avgQuality);
        return values.reduce((a, b) => a + b, 0) / values.length;
      });
      return worth.indexOf(Math.max(...worth));
    },
    tell(x, route, quality) {
      const id = engines[route].beginTrajectory(x);
      engines[route].addTrajectoryStep(id, x, attention, quality);
      engines[route].setTrajectoryRoute(id, `route-${route}`);
      engines[route].endTrajectory(id, quality);
      if (++turn % 100 === 0) for (const engine of engines) engine.forceLearn();
    },
  };
}

function ourPolicy(set) {
  let id = 0;
  ours.create(set.dim, set.routes, 100, 1);
  return {
    choose(x) {
      const decision = ours.decide(x);
      id = decision[1];
      return decision[0];
    },
    tell(x, route, quality) { ours.outcome(id, quality); },
  };
}

function learning(path) {
  const set = load(path);
  const rows = quick ? 200 : 1000;
  const earned = { peer: [], ours: [], single: [], random: [] };
  for (let seed = 1; seed <= (quick ? 1 : 3); seed++) {
    state = seed * 7919;
    const order = set.rows.map((row) => [random(), row]).sort((a, b) => a[0] - b[0])
      .slice(0, rows).map((pair) => pair[1]);
    const means = Array.from({ length: set.routes },
      (_, k) => order.reduce((sum, row) => sum + row.quality[k], 0) / rows);
    earned.single.push(Math.max(...means));
    earned.random.push(means.reduce((a, b) => a + b, 0) / set.routes);
    for (const [name, policy] of [['peer', peerPolicy(set)], ['ours', ourPolicy(set)]]) {
      let sum = 0;
      for (const row of order) {
        const route = policy.choose(row.x);
        policy.tell(row.x, route, row.quality[route]);
        sum += row.quality[route];
      }
      earned[name].push(sum / rows);
    }
  }
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  console.log(JSON.stringify({
    name: 'peer/learns', unit: 'reward', min: Math.min(...earned.peer), p50: mean(earned.peer),
    p90: mean(earned.peer), p99: Math.max(...earned.peer), iterations: rows * earned.peer.length,
    block: rows, ours: mean(earned.ours), best_single: mean(earned.single),
    random: mean(earned.random), seeds: earned.peer.length,
    note: 'mean reward; an engine of the peer for each route, since its patterns name none',
  }));
}

adapters(256);
if (!quick) adapters(1536);
trajectories(256);
patterns(256);
cycles(256, quick ? 200 : 1000, quick ? 2 : 5);
if (data) learning(data);
