"use strict";
// The explorer: a part for each <figure class="explorer">, made from the data inside it. No modules and no fetch:
// browsers refuse both to a page that is opened as a file. What the reader has set stands in the address after #.

const FRACTION = { from: 0, to: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1] };
const DURATION = 900; // milliseconds of the way between two networks
const LEAST_IN_BIN = 10; // examples; fewer are drawn faintly
const MOST_BARS = 20;
const PLACES = ["first", "second", "third"]; // of the chosen classes
const SAVED_AFTER = 200; // milliseconds without a change: browsers refuse to rename a page all the time

/** What is asked of a network: the target, its loss, and the optimal logit gap. */
function targetPart(form) {
  const bars = new Chart("target-bars", "Target and probabilities of each class");
  const curve = new Chart("target-loss", "Loss against the logit gap");
  const counts = [2, 3, 10, 100, 1000].map((k) => [`${k}`, `${k}`]);
  const chosen = () => ["classes", "alpha", "gap"].map((name) => Number(form[name].value));
  form.append(
    html(
      "div",
      { class: "controls" },
      slider("alpha", "Smoothing factor α:", { min: 0, max: 0.95, step: 0.01, value: 0.1 }),
      slider("gap", "Logit gap:", { min: 0, max: 14, step: 0.05, value: 1 }),
      menu("classes", "Classes K", counts, "10"),
    ),
    buttons(["Go to the optimal gap", () => set(form, "gap", Math.min(optimalLogitGap(...chosen()), form.gap.max))]),
    html("div", { class: "charts" }, bars.node, curve.node),
    numbers([
      ["target-true", "Target of the true class"],
      ["target-other", "Target of each other class"],
      ["best-gap", "Optimal logit gap (nats)"],
      ["probability", "Probability of the true class at your gap"],
      ["loss", "Loss at your gap (nats)"],
      ["least-loss", "Smallest possible loss (nats)"],
    ]),
  );
  return () => {
    const [classes, alpha, gap] = chosen();
    const y = target(classes, alpha);
    const best = optimalLogitGap(classes, alpha);
    show(form, {
      "alpha-shown": alpha.toFixed(2),
      "gap-shown": `${gap.toFixed(2)} nats`,
      "target-true": y.true.toFixed(4),
      "target-other": y.other.toFixed(4),
      "best-gap": Number.isFinite(best) ? best.toFixed(4) : "none: ever larger",
      probability: probabilityAtGap(classes, gap).toFixed(4),
      loss: lossAtGap(classes, alpha, gap).toFixed(4),
      "least-loss": smallestLoss(classes, alpha).toFixed(4),
    });
    drawTarget(bars, classes, alpha, gap);
    drawLoss(curve, classes, alpha, gap);
  };
}

function drawTarget(chart, classes, alpha, gap) {
  const shown = Math.min(classes, MOST_BARS);
  const y = target(classes, alpha);
  const p = probabilityAtGap(classes, gap);
  const label = shown < classes ? `class (the first ${shown} of ${classes}; the others are alike)` : "class";
  chart.begin({ from: 0, to: shown, label, ticks: [] }, { ...FRACTION, label: "probability" });
  for (let k = 0; k < shown; k++) {
    chart.bar(k + 0.1, k + 0.9, k ? y.other : y.true, `fill-${alpha > 0 ? "smoothed" : "hard"}`);
    chart.bar(k + 0.1, k + 0.9, k ? (1 - p) / (classes - 1) : p, "outline");
  }
  chart.text("coloured: target; outlined: network", { x: chart.right, y: chart.top + 12, "text-anchor": "end" });
  chart.describe(
    `Target ${y.true.toFixed(3)} for the true class and ${y.other.toFixed(3)} for each other; ` +
      `the network gives the true class ${p.toFixed(3)}.`,
  );
}

function drawLoss(chart, classes, alpha, gap) {
  const colour = alpha > 0 ? "smoothed" : "hard";
  const steps = Array.from({ length: 141 }, (_, i) => i / 10);
  const points = steps.map((x) => [x, lossAtGap(classes, alpha, x)]);
  const top = Math.ceil(Math.max(...points.map((p) => p[1])));
  const ticks = Array.from({ length: top + 1 }, (_, i) => i).filter((i) => i % Math.ceil(top / 5) === 0);
  chart.begin(
    { from: 0, to: 14, label: "logit gap (nats)", ticks: [0, 2, 4, 6, 8, 10, 12, 14] },
    { from: 0, to: top, label: "loss (nats)", ticks },
  );
  chart.line(points, `line-${colour}`);
  if (alpha > 0) chart.dot([optimalLogitGap(classes, alpha), smallestLoss(classes, alpha)], `fill-${colour}`);
  chart.dot([gap, lossAtGap(classes, alpha, gap)], "outline", 8);
  chart.describe(
    alpha > 0
      ? `The loss is smallest at a gap of ${optimalLogitGap(classes, alpha).toFixed(2)} nats and rises beyond it.`
      : "The loss falls for ever as the gap grows.",
  );
}

/** What the network does: three classes in the plane of their templates, and the way from one network to another. */
function projectionPart(form, data) {
  const chart = new Chart("projection", "Activations of three classes in the plane of their templates", { height: 348 });
  const names = data.names.map((name, i) => [`${i}`, name]);
  const measures = [
    ["scatter", "scatter"],
    ["regularity", "regularity"],
    ["distance", "distance"],
  ];
  const meaning =
    "Measured on these points: scatter within over between the classes, shortest over longest side of the triangle of " +
    "their centres, mean distance from the origin";
  const titles = data.networks.map(({ alpha }) => [`${alpha}`, alpha ? `α = ${alpha}` : "hard targets"]);
  form.append(
    html(
      "div",
      { class: "controls" },
      ...PLACES.map((name, i) => menu(name, `${name[0].toUpperCase()}${name.slice(1)} class`, names, `${data.chosen[i]}`, mark(i))),
      choice("targets", "Trained with", titles),
      choice("split", "Images", [["train", "training"], ["test", "test"]]),
      choice("axes", "Axes", [["same", "the same for all"], ["own", "each network's own"]]),
    ),
    html("div", { class: "charts" }, chart.node, comparison(meaning, measures, titles)),
  );
  const way = animation((view) => drawProjection(chart, view));
  let seen;
  return () => {
    const chosen = PLACES.map((name) => form[name].value);
    PLACES.forEach((name, i) => {
      for (const option of form[name].options) option.disabled = option.value !== chosen[i] && chosen.includes(option.value);
    });
    const split = form.split.value;
    const views = data.networks.map((network) => projected(network, split, data.labels[split], chosen));
    views.forEach(({ points, labels }, i) => {
      const found = clusterMeasures(points, labels);
      show(form, Object.fromEntries(measures.map(([name]) => [`${name}-${titles[i][0]}`, found[name].toFixed(4)])));
    });
    const place = titles.findIndex(([value]) => value === form.targets.value);
    const limit = Math.max(...(form.axes.value === "own" ? [views[place]] : views).map(reach));
    const images = `${chosen.map((k) => data.names[k]).join(", ")} (${split === "train" ? "training" : "test"} images)`;
    way({ ...views[place], limit }, images === seen);
    seen = images;
    chart.describe(`${views[place].points.length} points: ${images}; ${titles[place][1]}.`);
  };
}

/** Points of three classes, their labels 0, 1 and 2, and the classes' templates, in the plane of the latter. */
function projected({ activations, templates }, split, labels, chosen) {
  const classes = chosen.map(Number);
  const corners = classes.map((k) => row(templates, k));
  const plane = templatePlane(corners);
  const all = [...labels].map((label, i) => [classes.indexOf(label), i]);
  const found = all.filter(([label]) => label >= 0);
  const points = project(found.map(([, i]) => row(activations[split], i)), plane);
  return { points, labels: found.map(([label]) => label), templates: project(corners, plane) };
}

/** Half the width of axes that hold all points. */
function reach({ points }) {
  return 1.05 * Math.max(...points.flat().map(Math.abs));
}

function drawProjection(chart, { points, labels, templates, limit }) {
  const tick = Number((limit / 2).toPrecision(1));
  const axis = (label) => ({ from: -limit, to: limit, label, ticks: [-tick, 0, tick] });
  chart.begin(axis("along the side from the first to the second class"), axis("across it"));
  templates.forEach((template, k) => {
    const far = limit / Math.max(...template.map(Math.abs));
    chart.line([[0, 0], template.map((value) => value * far)], `line-class-${k}`);
  });
  points.forEach(([x, y], i) => {
    const k = labels[i];
    chart.add("path", { class: `point class-${k}`, d: MARKS[k](3), transform: `translate(${chart.x(x)} ${chart.y(y)})` });
  });
}

/** Numbers, or arrays and objects of them, part of the way from one to another of the same form. */
function between(from, to, share) {
  if (typeof from === "number") return from + (to - from) * share;
  if (Array.isArray(from)) return from.map((value, i) => between(value, to[i], share));
  return Object.fromEntries(Object.entries(from).map(([name, value]) => [name, between(value, to[name], share)]));
}

/** A function that takes `draw` to a goal: step by step from what is drawn if that can move there, else at once, as
 *  for readers who want no motion. */
function animation(draw) {
  let [drawn, frame] = [null, 0];
  return (goal, moves) => {
    cancelAnimationFrame(frame);
    const [from, start] = [drawn, performance.now()];
    const still = !moves || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (time) => {
      const done = still ? 1 : Math.min(Math.max((time - start) / DURATION, 0), 1);
      drawn = done < 1 ? between(from, goal, done * done * (3 - 2 * done)) : goal; // slow at both ends
      draw(drawn);
      if (done < 1) frame = requestAnimationFrame(step);
    };
    step(start);
  };
}

/** Whether confidences can be believed, and what dividing the logits by a temperature does to them. */
function temperaturePart(form, data) {
  const diagram = new Chart("reliability", "Reliability diagram");
  const histogram = new Chart("confidences", "How often each confidence occurs", { height: 220 });
  const networks = data.networks.flatMap(({ name, factors, ...shared }) =>
    factors.map((factor) => ({ key: `${name}-${factor.alpha}`, ...shared, ...factor })),
  );
  const entries = networks.map(({ key, title, alpha }) => [key, `${title}: ${alpha ? `α = ${alpha}` : "hard targets"}`]);
  const chosen = () => networks.find(({ key }) => key === form.network.value);
  form.append(
    html(
      "div",
      { class: "controls" },
      menu("network", "Network", entries, networks[0].key),
      slider("temperature", "Temperature T:", { min: 0.2, max: 4, step: 0.01, value: 1 }),
      slider("bins", "Bins:", { min: 5, max: 50, step: 1, value: 15 }),
    ),
    buttons(
      ["T = 1", () => set(form, "temperature", 1)],
      ["T fitted on held-out images", () => set(form, "temperature", chosen().fitted)],
    ),
    html("div", { class: "charts" }, diagram.node, histogram.node),
    numbers([
      ["ece", "Calibration error (ECE)"],
      ["nll", "Negative log-likelihood (nats)"],
      ["accuracy", "Accuracy"],
      ["confidence", "Mean confidence"],
    ]),
  );
  return () => {
    const { logits, labels, alpha } = chosen();
    const [temperature, bins] = [Number(form.temperature.value), Number(form.bins.value)];
    const found = predictions(logits, labels, temperature);
    const bars = reliability(found.confidence, found.correct, bins);
    show(form, {
      "temperature-shown": temperature.toFixed(2),
      "bins-shown": bins,
      ece: bars.ece.toFixed(4),
      nll: found.nll.toFixed(4),
      accuracy: found.accuracy.toFixed(4),
      confidence: mean(found.confidence).toFixed(4),
    });
    drawReliability(diagram, bars, alpha > 0 ? "smoothed" : temperature === 1 ? "hard" : "scaled");
    drawConfidences(histogram, bars, found.confidence.length);
  };
}

function drawReliability(chart, bars, colour) {
  chart.begin({ ...FRACTION, label: "confidence" }, { ...FRACTION, label: "accuracy" });
  const bins = bars.count.length;
  bars.count.forEach((count, b) => {
    const faint = count < LEAST_IN_BIN ? " faint" : "";
    if (count) chart.bar(b / bins, (b + 1) / bins, bars.accuracy[b], `fill-${colour}${faint}`);
    if (count) chart.dot([bars.confidence[b], bars.accuracy[b]], `outline${faint}`, 3);
  });
  chart.line([[0, 0], [1, 1]], "diagonal");
  const over = bars.count.filter((count, b) => count >= LEAST_IN_BIN && bars.accuracy[b] < bars.confidence[b]).length;
  const filled = bars.count.filter((count) => count >= LEAST_IN_BIN).length;
  chart.describe(`Accuracy is below confidence in ${over} of ${filled} bins with at least ${LEAST_IN_BIN} images.`);
}

function drawConfidences(chart, bars, examples) {
  const bins = bars.count.length;
  chart.begin({ ...FRACTION, label: "confidence" }, { ...FRACTION, label: "share of the images" });
  bars.count.forEach((count, b) => chart.bar(b / bins, (b + 1) / bins, count / examples, "fill-neutral"));
  chart.describe(`The last bin holds ${((100 * bars.count[bins - 1]) / examples).toFixed(0)} % of the images.`);
}

/** What students learn from a hard and from a smoothed teacher: their errors, and by how much these differ. */
function studentsPart(form, data) {
  const errors = new Chart("student-errors", "Test errors of students by their teacher");
  const differences = new Chart("student-differences", "Errors of the smoothed teacher's students less the hard teacher's");
  const titles = data.experiments.map(({ title }, i) => [`${i}`, title]);
  const sliders = data.experiments.map(({ points }, i) =>
    slider(`condition-${i}`, "Compared at:", { min: 0, max: points.length - 1, step: 1, value: points.length - 1 }),
  );
  const teachers = [
    ["hard", html("span", {}, armMark("hard"), "hard teacher")],
    ["smoothed", html("span", {}, armMark("smoothed"), "smoothed teacher")],
  ];
  const rows = [
    ["teacher", "error of the teacher, %"],
    ["student", "error of its student, %"],
    ["temperature", "temperature T"],
    ["softness", "γ of the student's targets"],
  ];
  form.append(
    html("div", { class: "controls" }, menu("experiment", "Experiment", titles, "0"), ...sliders),
    html("div", { class: "charts" }, errors.node, differences.node),
    comparison("Means over the seeds", teachers, rows),
    numbers([["student-difference", "Student's error, smoothed − hard teacher, points [95 % interval]"]]),
  );
  return () => {
    const chosen = Number(form.experiment.value);
    sliders.forEach((node, i) => (node.hidden = i !== chosen));
    const experiment = data.experiments[chosen];
    const place = Number(form[`condition-${chosen}`].value);
    const { label, arms, difference } = experiment.points[place];
    const [change, low, high] = difference.map((value) => `${value > 0 ? "+" : ""}${value.toFixed(2)}`.replace("-", "−"));
    form[`condition-${chosen}`].setAttribute("aria-valuetext", label);
    show(form, { [`condition-${chosen}-shown`]: label, "student-difference": `${change} [${low}, ${high}]` });
    for (const [arm] of teachers) {
      const values = { ...arms[arm], student: arms[arm].student[0] };
      show(form, Object.fromEntries(rows.map(([name]) => [`${arm}-${name}`, values[name].toFixed(2)])));
    }
    drawStudents(errors, experiment, place);
    drawStudentDifferences(differences, experiment, place);
  };
}

/** The axis of an experiment's conditions, one place each. */
function conditions({ points }) {
  const texts = points.map(({ label }) => label);
  return { from: -0.5, to: points.length - 0.5, label: "", ticks: points.map((_, i) => i), texts };
}

function drawStudents(chart, experiment, place) {
  const { points, baseline, axes } = experiment;
  chart.begin(conditions(experiment), { ...axes.errors, label: "test error of the student (%)" });
  chart.band(place - 0.4, place + 0.4, "chosen");
  chart.line([[-0.5, baseline], [points.length - 0.5, baseline]], "diagonal");
  for (const [arm, aside] of [["hard", -0.08], ["smoothed", 0.08]]) {
    const means = points.map(({ arms }, i) => [i + aside, arms[arm].student[0]]);
    if (means.length > 1) chart.line(means, `line-${arm}`);
    points.forEach(({ arms }, i) => chart.interval(i + aside, arms[arm].student, arm));
    for (const value of points[place].arms[arm].seeds) chart.dot([place + 3 * aside, value], `fill-${arm} point`, 2.5);
  }
  const { hard, smoothed } = points[place].arms;
  const [first, second] = [hard, smoothed].map(({ student }) => student[0].toFixed(2));
  chart.describe(`${points[place].label}: ${first} % with the hard teacher, ${second} % with the smoothed one.`);
}

function drawStudentDifferences(chart, experiment, place) {
  const { points, axes } = experiment;
  chart.begin(conditions(experiment), { ...axes.differences, label: "smoothed − hard (points)" });
  chart.band(place - 0.4, place + 0.4, "chosen");
  chart.line([[-0.5, 0], [points.length - 0.5, 0]], "diagonal");
  points.forEach(({ difference }, i) => chart.interval(i, difference, "smoothed"));
  const above = points.filter(({ difference }) => difference[1] > 0).map(({ label }) => label);
  chart.describe(`The whole interval is above 0 at ${above.join(", ") || "none of the points"}.`);
}

/** How sure two networks are of each token of their translations. */
function translationPart(form, data) {
  const sentences = data.sources.map((source, i) => [`${i}`, source]);
  const titles = { hard: "hard targets", smoothed: `smoothed, α = ${data.alpha}` };
  const rows = [
    ["marked", "tokens marked"],
    ["tokens", "tokens"],
    ["likelihood", "mean log-probability (nats a token)"],
  ];
  const lines = Object.entries(titles).map(([arm, title]) => [arm, title, html("p", { class: "tokens", lang: data.language })]);
  const reference = html("p", { lang: data.language });
  form.append(
    html(
      "div",
      { class: "controls" },
      menu("sentence", "Sentence", sentences, "0"),
      slider("sure", "Mark tokens less probable than:", { min: 0, max: 1, step: 0.01, value: 0.5 }),
    ),
    ...lines.flatMap(([, title, line]) => [html("h3", {}, title), line]),
    html("h3", {}, "a reference"),
    reference,
    comparison("Measured on these tokens", Object.entries(titles), rows),
  );
  return () => {
    const [sentence, sure] = [Number(form.sentence.value), Number(form.sure.value)];
    show(form, { "sure-shown": sure.toFixed(2) });
    reference.textContent = data.references[sentence];
    for (const [arm, , line] of lines) {
      const tokens = data[arm][sentence];
      const node = ([text, p]) => html(p < sure ? "mark" : "span", {}, text.trim(), " ", html("small", {}, p.toFixed(2)));
      line.replaceChildren(...tokens.map(node));
      show(form, {
        [`${arm}-marked`]: tokens.filter(([, p]) => p < sure).length,
        [`${arm}-tokens`]: tokens.length,
        [`${arm}-likelihood`]: mean(tokens.map(([, p]) => Math.log(Math.max(p, 1e-8)))).toFixed(4),
      });
    }
  };
}

/** What is wrong among the predictions that are accepted. */
function riskPart(form, data) {
  const chart = new Chart("risk", "Risk against coverage");
  const names = data.networks.map(({ title }, i) => [`${i}`, title]);
  const titles = data.networks[0].arms.map(({ name, title }) => [name, title]);
  const columns = [
    ["risk", "errors among the accepted (%)"],
    ["augrc", "AUGRC (%)"],
    ["alone", "accepted by this network only"],
  ];
  form.append(
    html(
      "div",
      { class: "controls" },
      menu("ranked", "Network", names, "0"),
      slider("accepted", "Accept the most trusted:", { min: 1, max: 100, step: 1, value: 80 }),
      slider("norm", "Score:", { min: 0, max: 10, step: 1, value: 0 }),
    ),
    html("div", { class: "charts" }, chart.node),
    comparison("Measured on these images", columns, titles),
  );
  return () => {
    const { arms, labels } = data.networks[Number(form.ranked.value)];
    const [share, p] = [Number(form.accepted.value) / 100, Number(form.norm.value)];
    const found = arms.map(({ name, logits }) => {
      const score = trust(logits, p);
      const { correct } = predictions(logits, labels, 1);
      return { name, score, risk: riskCoverage(score, [...correct]) };
    });
    const n = Math.max(1, Math.round(share * labels.length));
    const accepted = found.map(({ score }) => mostTrusted(score, n));
    found.forEach(({ name, risk }, k) => {
      const others = accepted[1 - k];
      show(form, {
        [`risk-${name}`]: (100 * risk[n - 1]).toFixed(2),
        [`augrc-${name}`]: (100 * augrc(risk)).toFixed(2),
        [`alone-${name}`]: [...accepted[k]].filter((i) => !others.has(i)).length,
      });
    });
    show(form, {
      "accepted-shown": `${form.accepted.value} %`,
      "norm-shown": p ? `largest logit ÷ norm, p = ${p}` : "largest probability",
    });
    drawRisk(chart, found, share);
  };
}

/** The places of the n largest scores. */
function mostTrusted(score, n) {
  return new Set(score.map((_, i) => i).sort((a, b) => score[b] - score[a]).slice(0, n));
}

function drawRisk(chart, found, share) {
  const top = 1.05 * Math.max(...found.map(({ risk }) => 100 * risk.at(-1)));
  const ticks = [0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80].filter((tick) => tick < top);
  chart.begin(
    { from: 0, to: 100, label: "coverage: accepted images (%)", ticks: [0, 20, 40, 60, 80, 100] },
    { from: 0, to: top, label: "risk: errors among them (%)", ticks },
  );
  chart.line([[100 * share, 0], [100 * share, top]], "diagonal");
  for (const { name, risk } of found) {
    const places = risk.map((_, i) => i).filter((i) => i % Math.ceil(risk.length / 300) === 0 || i === risk.length - 1);
    chart.line(places.map((i) => [(100 * (i + 1)) / risk.length, 100 * risk[i]]), `line-${name}`);
  }
  chart.describe(found.map(({ name, risk }) => `${name}: ${(100 * risk.at(-1)).toFixed(1)} % errors if all are accepted`).join("; "));
}

/** How much a logit difference tells about its image, along the training. */
function informationPart(form, data) {
  const chart = new Chart("information", "Mutual information along the training");
  const names = data.names.map((name, i) => [`${i}`, name]);
  const steps = [...data.steps];
  const titles = data.arms.map(({ name, title }) => [name, title]);
  form.append(
    html("div", { class: "controls" }, menu("one", "One class", names, "0"), menu("other", "Another class", names, "1")),
    html("div", { class: "charts" }, chart.node),
    comparison("Nats, means over the seeds", [["highest", "highest point"], ["end", "end"]], titles),
  );
  return () => {
    const chosen = ["one", "other"].map((name) => Number(form[name].value));
    for (const [name, taken] of [["one", chosen[1]], ["other", chosen[0]]]) {
      for (const option of form[name].options) option.disabled = Number(option.value) === taken;
    }
    const found = data.arms.map(({ name, curves }) => ({ name, ...columnRange(curves, pairColumn(data.pairs, chosen)) }));
    for (const { name, mean } of found) {
      show(form, { [`highest-${name}`]: Math.max(...mean).toFixed(3), [`end-${name}`]: mean.at(-1).toFixed(3) });
    }
    drawInformation(chart, steps, found);
  };
}

/** The column of a pair of classes, in whatever order they are chosen. */
function pairColumn(pairs, chosen) {
  const [first, second] = chosen.toSorted((a, b) => a - b);
  return Array.from({ length: pairs.rows }, (_, i) => row(pairs, i)).findIndex(([a, b]) => a === first && b === second);
}

function drawInformation(chart, steps, found) {
  const top = 1.1 * Math.max(Math.log(2), ...found.flatMap(({ largest }) => largest));
  const places = steps.map(Math.log10);
  const decades = Array.from({ length: Math.floor(places.at(-1)) + 1 }, (_, i) => i);
  chart.begin(
    { from: 0, to: places.at(-1), label: "training step (logarithmic)", ticks: [] },
    { from: 0, to: top, label: "nats", ticks: [0, 0.5, 1, 1.5, 2, 3, 4, 5, 6].filter((tick) => tick < top) },
  );
  for (const i of decades) chart.text(10 ** i, { x: chart.x(i), y: chart.bottom + 16, "text-anchor": "middle" });
  chart.line([[0, Math.log(2)], [places.at(-1), Math.log(2)]], "diagonal");
  chart.text("log 2", { x: chart.left + 4, y: chart.y(Math.log(2)) - 4 });
  for (const { name, mean, least, largest } of found) {
    const along = (values) => values.map((value, i) => [places[i], value]);
    chart.area(along(least), along(largest), `fill-${name} faint`);
    chart.line(along(mean), `line-${name}`);
  }
  chart.describe(found.map(({ name, mean }) => `${name}: ${mean.at(-1).toFixed(2)} nats at the end`).join("; "));
}

/** Write values into the outputs of these names, a negative number with a minus sign. */
function show(form, values) {
  for (const [name, value] of Object.entries(values)) form[name].value = `${value}`.replace(/^-/, "−");
}

/** Set a control as if the reader had. */
function set(form, name, value) {
  form[name].value = value;
  form.dispatchEvent(new Event("input", { bubbles: true }));
}

const PARTS = {
  target: targetPart,
  projection: projectionPart,
  temperature: temperaturePart,
  translation: translationPart,
  information: informationPart,
  risk: riskPart,
  students: studentsPart,
};

/** Put what differs from the defaults into the address. */
function save(parts) {
  const state = new URLSearchParams();
  for (const { form, defaults } of parts) {
    for (const [name, value] of new FormData(form)) if (value !== defaults[name]) state.set(name, value);
  }
  history.replaceState(null, "", `#${state}`);
}

/** Set the controls that the address names, if it does, and bring the first of them into sight. */
function restore(parts) {
  const state = new URLSearchParams(location.hash.slice(1));
  const named = parts.filter(({ defaults }) => Object.keys(defaults).some((name) => state.has(name)));
  if (!named.length) return;
  for (const { form, defaults, draw } of parts) {
    form.reset();
    for (const name of Object.keys(defaults)) {
      if (allowed(form[name], state.get(name))) form[name].value = state.get(name);
    }
    const menus = PLACES.filter((name) => form[name]);
    if (new Set(menus.map((name) => form[name].value)).size < menus.length) {
      for (const name of menus) form[name].value = defaults[name]; // the same class twice spans no plane
    }
    draw();
  }
  named[0].form.scrollIntoView();
}

function allowed(control, value) {
  if (control.type === "range") return value && Number.isFinite(Number(value));
  return [...(control.options ?? control)].some((option) => option.value === value);
}

/** The data of a part: JSON, in which an array is an object with base64. */
function read(text) {
  return JSON.parse(text, (_, value) => (value?.base64 ? decode(value) : value));
}

function start() {
  const parts = [...document.querySelectorAll("figure.explorer")].map((figure) => {
    const form = html("form", { autocomplete: "off" });
    const draw = PARTS[figure.dataset.part](form, read(figure.querySelector("script").textContent));
    figure.querySelector("p").replaceWith(form);
    draw();
    return { form, draw, defaults: Object.fromEntries(new FormData(form)) };
  });
  let saving;
  for (const { form, draw } of parts) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      draw();
      clearTimeout(saving);
      saving = setTimeout(save, SAVED_AFTER, parts);
    });
  }
  restore(parts);
  addEventListener("hashchange", () => restore(parts));
}

start();
