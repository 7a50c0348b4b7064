"use strict";
// The moving picture of the first page: from hard targets to the smoothing factor of the claims, once, then by hand.
// Without scripts, or where motion is unwanted, it stands as the page was built.

const DURATION = 3300; // milliseconds from hard targets to the factor that is shown

function start(figure) {
  const views = JSON.parse(figure.querySelector("script").textContent);
  const [dots, now] = [figure.querySelectorAll("circle"), figure.querySelector("polygon.now")];
  const [slider, button] = [figure.querySelector("input"), figure.querySelector("button")];
  const named = figure.querySelectorAll("output, th.now");
  const shown = Number(slider.value);
  let frame = 0;

  /** Draw a place between two neighbouring views: 1.5 is half way from the second to the third. */
  function draw(place) {
    const [from, to] = [views[Math.floor(place)], views[Math.ceil(place)]];
    const share = place - Math.floor(place);
    const between = (name, i) => from[name][i].map((value, axis) => value + (to[name][i][axis] - value) * share);
    dots.forEach((dot, i) => {
      const [x, y] = between("points", i);
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", y);
    });
    now.setAttribute("points", from.corners.map((_, k) => between("corners", k)).join(" "));
    const nearest = views[Math.round(place)];
    for (const node of named) node.textContent = nearest.alpha ? `α = ${nearest.alpha}` : "hard targets";
    for (const cell of figure.querySelectorAll("[data-measure]")) cell.textContent = nearest.measures[cell.dataset.measure];
    figure.classList.toggle("at-hard", place === 0);
  }

  /** Move from one place to another in `duration` milliseconds. */
  function move(from, to, duration) {
    cancelAnimationFrame(frame);
    const began = performance.now();
    const step = (time) => {
      const share = duration ? Math.min(Math.max((time - began) / duration, 0), 1) : 1;
      const reached = from + (to - from) * share * share * (3 - 2 * share); // slow at both ends
      draw(reached);
      slider.value = Math.round(reached);
      place = reached;
      if (share < 1) frame = requestAnimationFrame(step);
    };
    step(began);
  }

  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const play = () => move(0, shown, DURATION);
  let place = shown;
  slider.disabled = false;
  slider.addEventListener("input", () => move(place, Number(slider.value), still() ? 0 : 300));
  button.addEventListener("click", play);
  button.hidden = still();
  if (!still()) play();
}

document.querySelectorAll("figure.moving").forEach(start);
