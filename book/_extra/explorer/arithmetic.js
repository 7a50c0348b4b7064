"use strict";
// What the explorer computes, as lsbook/analysis does: tests/test_explorer.py compares the two on the same data.
// A matrix is {rows, columns, values}, row after row. Losses and gaps are in nats.

/** Target probability of the true class and of each other one. */
function target(classes, alpha) {
  return { true: 1 - alpha + alpha / classes, other: alpha / classes };
}

/** True minus any other logit where the smoothed loss is smallest; Infinity for hard targets. */
function optimalLogitGap(classes, alpha) {
  const y = target(classes, alpha);
  return Math.log(y.true / y.other);
}

/** The least smoothed loss of an example: the entropy of its target. */
function smallestLoss(classes, alpha) {
  const y = target(classes, alpha);
  const entropy = (p) => (p > 0 ? -p * Math.log(p) : 0);
  return entropy(y.true) + (classes - 1) * entropy(y.other);
}

/** Probability of the true class when its logit is above each other one by the gap. */
function probabilityAtGap(classes, gap) {
  return 1 / (1 + (classes - 1) * Math.exp(-gap));
}

/** The smoothed loss of an example whose true logit is above each other one by the gap. */
function lossAtGap(classes, alpha, gap) {
  return gap * (1 - target(classes, alpha).true) - Math.log(probabilityAtGap(classes, gap));
}

function row(matrix, i) {
  return matrix.values.subarray(i * matrix.columns, (i + 1) * matrix.columns);
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** Orthonormal basis of the plane through three templates: u along w2 − w1, v·(w3 − w1) > 0. */
function templatePlane(templates) {
  const [first, second, third] = templates;
  const unit = (x) => x.map((value) => value / Math.sqrt(dot(x, x)));
  const u = unit(second.map((value, i) => value - first[i]));
  const side = third.map((value, i) => value - first[i]);
  const v = unit(side.map((value, i) => value - dot(side, u) * u[i]));
  return [u, v];
}

/** Coordinates (x·u, x·v) of the points in a plane, measured from its point nearest 0. */
function project(points, [u, v]) {
  return points.map((x) => [dot(x, u), dot(x, v)]);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Of clusters in the plane, the points' labels being 0, 1 and 2: scatter within over between classes, shortest over
 *  longest side of the triangle of the centroids, mean distance of the points from the origin. */
function clusterMeasures(points, labels) {
  const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const centre = (found) => [mean(found.map((p) => p[0])), mean(found.map((p) => p[1]))];
  const clusters = [0, 1, 2].map((label) => points.filter((_, i) => labels[i] === label));
  const centroids = clusters.map(centre);
  const middle = centre(centroids);
  const within = mean(clusters.map((found, k) => mean(found.map((p) => distance(p, centroids[k]) ** 2))));
  const sides = centroids.map((c, k) => distance(c, centroids[(k + 1) % 3]));
  return {
    scatter: within / mean(centroids.map((c) => distance(c, middle) ** 2)),
    regularity: Math.min(...sides) / Math.max(...sides),
    distance: mean(points.map((p) => distance(p, [0, 0]))),
  };
}

/** Predictions softmax(logits / temperature): confidence and hit or miss of each example, accuracy and mean NLL. */
function predictions(logits, labels, temperature) {
  const confidence = new Float64Array(logits.rows);
  const correct = new Uint8Array(logits.rows);
  let loss = 0;
  for (let i = 0; i < logits.rows; i++) {
    const z = row(logits, i);
    const largest = z.reduce((a, b) => Math.max(a, b));
    const total = z.reduce((sum, value) => sum + Math.exp((value - largest) / temperature), 0);
    confidence[i] = 1 / total;
    correct[i] = z.indexOf(largest) === labels[i];
    loss += Math.log(total) - (z[labels[i]] - largest) / temperature;
  }
  return { confidence, correct, accuracy: mean(correct), nll: loss / logits.rows };
}

/** Reliability diagram of bins (b/n, (b+1)/n], 0 belonging to the first; NaN where a bin is empty. */
function reliability(confidence, correct, bins) {
  const count = new Array(bins).fill(0);
  const sums = { confidence: [...count], accuracy: [...count] };
  confidence.forEach((value, i) => {
    let b = 0;
    while (b < bins - 1 && value > (b + 1) / bins) b++;
    count[b]++;
    sums.confidence[b] += value;
    sums.accuracy[b] += correct[i];
  });
  const means = (values) => values.map((value, b) => value / count[b]);
  const gaps = count.map((_, b) => Math.abs(sums.accuracy[b] - sums.confidence[b]));
  const ece = gaps.reduce((sum, gap) => sum + gap, 0) / confidence.length;
  return { confidence: means(sums.confidence), accuracy: means(sums.accuracy), count, ece };
}

/** How far each prediction is trusted: the log-odds of its largest probability, which tie less than that itself, or for
 *  p > 0 its largest logit over the p-norm of all, their mean subtracted. */
function trust(logits, p) {
  return Array.from({ length: logits.rows }, (_, i) => {
    const z = row(logits, i);
    const largest = z.reduce((a, b) => Math.max(a, b));
    const first = z.indexOf(largest);
    if (!p) return -Math.log(z.reduce((sum, value, k) => sum + (k === first ? 0 : Math.exp(value - largest)), 0));
    const middle = mean(z);
    return (largest - middle) / z.reduce((sum, value) => sum + Math.abs(value - middle) ** p, 0) ** (1 / p);
  });
}

/** Risk at coverage n/N, n = 1 … N; equal scores count as their mean over all orders. */
function riskCoverage(score, correct) {
  const order = score.map((_, i) => i).sort((a, b) => score[b] - score[a]);
  const risk = [];
  let errors = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && score[order[end]] === score[order[start]]) end++;
    const wrong = order.slice(start, end).filter((i) => !correct[i]).length;
    for (let n = start + 1; n <= end; n++) risk.push((errors + ((n - start) * wrong) / (end - start)) / n);
    errors += wrong;
    start = end;
  }
  return risk;
}

/** Mean share of all examples that are accepted and wrong. */
function augrc(risk) {
  return mean(risk.map((value, i) => (value * (i + 1)) / risk.length));
}

/** A column of several matrices of one form: its mean, least and largest value row by row. */
function columnRange(matrices, column) {
  const at = (matrix, i) => matrix.values[i * matrix.columns + column];
  const rows = Array.from({ length: matrices[0].rows }, (_, i) => matrices.map((matrix) => at(matrix, i)));
  return { mean: rows.map(mean), least: rows.map((r) => Math.min(...r)), largest: rows.map((r) => Math.max(...r)) };
}

/** The number that 16 bits stand for (IEEE 754 binary16; recorded numbers are finite). */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const size = exponent ? (1024 + (bits & 1023)) * 2 ** (exponent - 25) : (bits & 1023) * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

/** An array as the page carries it, {type, shape, base64} with the low byte first: a matrix, or values alone. */
function decode({ type, shape, base64 }) {
  const { buffer } = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const readers = {
    float16: () => Float64Array.from(new Uint16Array(buffer), half),
    float32: () => Float64Array.from(new Float32Array(buffer)),
    uint16: () => new Uint16Array(buffer),
  };
  const values = readers[type]();
  return shape.length === 1 ? values : { rows: shape[0], columns: shape[1], values };
}
