"use strict";
// Controls and charts of the explorer. Colours are classes of explorer.css.

const SVG = "http://www.w3.org/2000/svg";

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function html(name, attributes = {}, ...children) {
  return make(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return make(document.createElementNS(SVG, name), attributes, children);
}

/** A range input with its label, and an output for its value. */
function slider(name, label, { min, max, step, value }) {
  const input = html("input", { type: "range", id: name, name, min, max, step, value });
  const shown = html("output", { name: `${name}-shown`, for: name });
  return html("div", { class: "control" }, html("label", { for: name }, label, " ", shown), input);
}

/** A select. options: [value, text] pairs; mark: drawn before the label. */
function menu(name, label, options, chosen, mark = "") {
  const entry = ([value, text]) => html("option", value === chosen ? { value, selected: "" } : { value }, text);
  const select = html("select", { id: name, name }, ...options.map(entry));
  return html("div", { class: "control" }, html("label", { for: name }, mark, label), select);
}

/** Radio buttons. options: [value, text] pairs, the first being chosen. */
function choice(name, legend, options) {
  const buttons = options.map(([value, text], i) =>
    html("label", {}, html("input", { type: "radio", name, value, ...(i ? {} : { checked: "" }) }), ` ${text}`),
  );
  return html("fieldset", { class: "control" }, html("legend", {}, legend), ...buttons);
}

/** Buttons in a row: [label, what a click does] pairs. */
function buttons(...pairs) {
  const nodes = pairs.map(([label, act]) => {
    const node = html("button", { type: "button" }, label);
    node.addEventListener("click", act);
    return node;
  });
  return html("div", { class: "buttons" }, ...nodes);
}

/** Live numbers: [name, label] pairs, each an output of that name. */
function numbers(pairs) {
  const entries = pairs.map(([name, label]) => html("div", {}, html("dt", {}, label), html("dd", {}, html("output", { name, "aria-live": "off" }))));
  return html("dl", { class: "numbers" }, ...entries);
}

/** Numbers to compare: an output `${column}-${row}` in each cell. rows, columns: [name, title] pairs. */
function comparison(caption, columns, rows) {
  const head = columns.map(([, title]) => html("th", { scope: "col" }, title));
  const line = ([name, title]) => {
    const cells = columns.map(([column]) => html("td", {}, html("output", { name: `${column}-${name}`, "aria-live": "off" })));
    return html("tr", {}, html("th", { scope: "row" }, title), ...cells);
  };
  return html(
    "table",
    { class: "comparison" },
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, html("td"), ...head)),
    html("tbody", {}, ...rows.map(line)),
  );
}

/** The mark of the first, second or third class, as in the book's figures: circle, triangle, square. */
const MARKS = [
  (s) => `M${-s},0 a${s},${s} 0 1,0 ${2 * s},0 a${s},${s} 0 1,0 ${-2 * s},0`,
  (s) => `M0,${-1.2 * s} L${1.1 * s},${0.8 * s} L${-1.1 * s},${0.8 * s} Z`,
  (s) => `M${-s},${-s} H${s} V${s} H${-s} Z`,
];

function mark(place) {
  const path = svg("path", { d: MARKS[place](5), class: `class-${place}` });
  return svg("svg", { class: "class-mark", viewBox: "-7 -7 14 14", "aria-hidden": "true" }, path);
}

/** The mark of an arm: a circle for hard targets, a square for smoothed ones. */
const ARM_MARKS = { hard: MARKS[0], smoothed: MARKS[2] };

function armMark(arm) {
  const path = svg("path", { d: ARM_MARKS[arm](5), class: `fill-${arm}` });
  return svg("svg", { class: "class-mark", viewBox: "-7 -7 14 14", "aria-hidden": "true" }, path);
}

/** A chart with axes. x, y: {from, to, label, ticks}, of x also the ticks' texts where these are no numbers; its text
 *  alternative is its name and what `describe` says. */
class Chart {
  constructor(name, title, { width = 360, height = 300 } = {}) {
    Object.assign(this, { width, height, left: 50, right: width - 12, top: 12, bottom: height - 44 });
    this.description = svg("desc", { id: `${name}-description` });
    this.drawing = svg("g");
    const heading = svg("title", { id: `${name}-title` }, title);
    const labelled = { role: "img", "aria-labelledby": `${name}-title`, "aria-describedby": `${name}-description` };
    const box = { id: name, viewBox: `0 0 ${width} ${height}`, style: `max-width: ${1.3 * width}px` };
    this.node = svg("svg", { class: "chart", ...box, ...labelled }, heading, this.description, this.drawing);
  }

  describe(text) {
    this.description.textContent = text;
  }

  /** Take everything away and draw the axes. */
  begin(x, y) {
    const scale = (axis, start, end) => (value) => start + ((value - axis.from) / (axis.to - axis.from)) * (end - start);
    this.x = scale(x, this.left, this.right);
    this.y = scale(y, this.bottom, this.top);
    this.drawing.replaceChildren();
    this.add("path", { class: "axis", d: `M${this.left},${this.top} V${this.bottom} H${this.right}` });
    x.ticks.forEach((tick, i) => {
      this.text(x.texts?.[i] ?? tick, { x: this.x(tick), y: this.bottom + 16, "text-anchor": "middle" });
    });
    for (const tick of y.ticks) this.text(tick, { x: this.left - 6, y: this.y(tick) + 4, "text-anchor": "end" });
    this.text(x.label, { x: (this.left + this.right) / 2, y: this.height - 8, "text-anchor": "middle" });
    const middle = (this.top + this.bottom) / 2;
    this.text(y.label, { x: 12, y: middle, transform: `rotate(-90 12 ${middle})`, "text-anchor": "middle" });
  }

  add(name, attributes) {
    this.drawing.append(svg(name, attributes));
  }

  text(content, attributes) {
    this.drawing.append(svg("text", attributes, `${content}`.replace("-", "−")));
  }

  /** A bar from 0 up to `value`, between `from` and `to` on the x axis. */
  bar(from, to, value, className) {
    const [left, top] = [this.x(from), this.y(value)];
    this.add("rect", { class: className, x: left, y: top, width: this.x(to) - left, height: this.bottom - top });
  }

  /** A band over the whole height, between `from` and `to` on the x axis. */
  band(from, to, className) {
    const [left, height] = [this.x(from), this.bottom - this.top];
    this.add("rect", { class: className, x: left, y: this.top, width: this.x(to) - left, height });
  }

  /** A mean with the interval around it, [mean, low, high], with the mark of an arm. */
  interval(x, [value, low, high], arm) {
    this.line([[x, low], [x, high]], `line-${arm}`);
    const transform = `translate(${this.x(x)} ${this.y(value)})`;
    this.add("path", { class: `fill-${arm}`, d: ARM_MARKS[arm](5), transform });
  }

  /** A line through [x, y] points. */
  line(points, className) {
    this.add("path", { class: className, d: `M${points.map(([x, y]) => `${this.x(x)},${this.y(y)}`).join("L")}` });
  }

  /** An area between two lines through [x, y] points. */
  area(lower, upper, className) {
    const points = [...lower, ...upper.toReversed()].map(([x, y]) => `${this.x(x)},${this.y(y)}`);
    this.add("path", { class: className, d: `M${points.join("L")}Z` });
  }

  dot([x, y], className, radius = 5) {
    this.add("circle", { class: className, cx: this.x(x), cy: this.y(y), r: radius });
  }
}
