"use strict";
(() => {
  const button = document.getElementById("flip");
  if (!button) return;
  const frames = [...document.querySelectorAll("article")];
  let at = -1;
  const flip = () => {
    const shows = document.body.dataset.shows === "new" ? "old" : "new";
    document.body.dataset.shows = shows;
    button.querySelector("b").textContent = shows;
    button.setAttribute("aria-pressed", String(shows === "new"));
  };
  const go = (step) => {
    at = Math.min(Math.max(at + step, 0), frames.length - 1);
    frames[at].scrollIntoView({ block: "start" });
    frames[at].focus({ preventScroll: true });
  };
  button.addEventListener("click", flip);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target !== button) { event.preventDefault(); flip(); }
    if (event.key === "j") go(1);
    if (event.key === "k") go(-1);
  });
})();
