// What a page does without charts: it unfolds for paper, hands out its data, and shows what is new of a run.
const folded = () => document.querySelectorAll("details:not([open])");
addEventListener("beforeprint", () => folded().forEach((each) => { each.open = true; each.dataset.printed = ""; }));
addEventListener("afterprint", () => document.querySelectorAll("[data-printed]").forEach((each) => { each.open = false; delete each.dataset.printed; }));

// The data are in the page, compressed; a link unpacks them into a file.
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}
const place = document.getElementById("data");
for (const script of document.querySelectorAll("script.download")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = script.dataset.name;
  button.addEventListener("click", async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await unpacked(script.textContent));
    link.download = script.dataset.name;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  place.append(button);
  place.hidden = false;
}

// A run in progress: every second its first lines, and the samples of its charts, which draw.js has drawn.
const AGAIN_MS = 1000;
const follow = document.getElementById("follow");
async function refresh({ path, shape }) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const news = await answer.json();
    if (news.shape !== shape) return location.reload();
    document.getElementById("now").innerHTML = news.now;
    document.dispatchEvent(new CustomEvent("samples", { detail: news.samples }));
    document.body.classList.remove("cut-off");
  } catch {
    document.body.classList.add("cut-off"); // the server is gone: the page shows what it has
  }
  setTimeout(refresh, AGAIN_MS, { path, shape });
}
if (follow) setTimeout(refresh, AGAIN_MS, JSON.parse(follow.textContent));
