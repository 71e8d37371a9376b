// Each example has a slider that fades what is laid over its frame, and a switch for what that is.
for (const example of document.querySelectorAll(".example")) {
  const over = example.querySelector(".over");
  const slider = example.querySelector("input[type=range]");
  slider.addEventListener("input", () => { over.style.opacity = slider.value / 100; });
  for (const choice of example.querySelectorAll("input[type=radio]")) {
    choice.addEventListener("change", () => {
      over.src = choice.dataset.src;
      over.alt = "Laid over it: its " + choice.parentElement.textContent.trim();
    });
  }
  example.querySelector(".controls").hidden = false;
}

// A link can set all of them: index.html#fade=0.3&show=label
function applyHash() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const fade = parseFloat(wanted.get("fade"));
  for (const example of document.querySelectorAll(".example")) {
    const slider = example.querySelector("input[type=range]");
    if (fade >= 0 && fade <= 1) {
      slider.value = 100 * fade;
      slider.dispatchEvent(new Event("input"));
    }
    for (const choice of example.querySelectorAll("input[type=radio]")) {
      if (choice.value === wanted.get("show")) {
        choice.checked = true;
        choice.dispatchEvent(new Event("change"));
      }
    }
  }
}
addEventListener("hashchange", applyHash);
applyHash();
