"use strict";
/* Zoom and search. A frame has the number of its first sample (data-b) and of its samples (data-n). */
(() => {
    const LEFT = 10, WIDE = 1180, CHARACTER = 7.25;
    const byId = (id) => document.getElementById(id);
    const frames = [...document.querySelectorAll(".f")].map((g) => {
        const [title, rect, text] = g.children;
        const what = title.textContent;
        return { g, rect, text, what, name: what.slice(0, what.lastIndexOf(": ")).replace(/ \([^ ]*\)$/, ""),
                 begin: +g.dataset.b, samples: +g.dataset.n, level: +rect.getAttribute("y") };
    });
    const all = frames[0];
    let focus = all;

    const fit = (name, width) => {
        const room = Math.floor((width - 6) / CHARACTER);
        return room >= name.length ? name : room >= 3 ? name.slice(0, room - 2) + ".." : "";
    };

    /* The frame takes the whole width; those that it stands on do, too, and are paler. */
    const zoom = (to) => {
        focus = to;
        const scale = WIDE / to.samples, end = to.begin + to.samples;
        for (const f of frames) {
            const under = f.level > to.level && f.begin <= to.begin && f.begin + f.samples >= end;
            const above = f.level <= to.level && f.begin >= to.begin && f.begin + f.samples <= end;
            f.g.style.display = under || above ? "" : "none";
            f.g.classList.toggle("around", under);
            if (!under && !above)
                continue;
            const x = under ? LEFT : LEFT + (f.begin - to.begin) * scale, width = under ? WIDE : f.samples * scale;
            f.rect.setAttribute("x", x);
            f.rect.setAttribute("width", width);
            f.text.setAttribute("x", x + 3);
            f.text.textContent = fit(f.name, width);
        }
        search();
    };

    /* Marks the frames whose names match; their share counts a sample once, however many of its frames do. */
    const search = () => {
        let pattern = null;
        const words = byId("search").value;
        try {
            pattern = words && new RegExp(words, "i");
        } catch (broken) {
            byId("found").textContent = "not a regular expression";
            return;
        }
        const spans = [];
        for (const f of frames) {
            const hit = pattern && f !== all && pattern.test(f.name);
            f.g.classList.toggle("hit", Boolean(hit));
            if (hit && f.begin >= focus.begin && f.begin + f.samples <= focus.begin + focus.samples)
                spans.push(f);
        }
        spans.sort((a, b) => a.begin - b.begin);
        let samples = 0, end = 0;
        for (const f of spans) {
            samples += Math.max(0, f.begin + f.samples - Math.max(end, f.begin));
            end = Math.max(end, f.begin + f.samples);
        }
        byId("found").textContent = pattern ? `${samples} samples match, ${(100 * samples / focus.samples).toFixed(1)} %` : "";
    };

    for (const f of frames) {
        f.g.addEventListener("click", () => zoom(f));
        f.g.addEventListener("mouseover", () => { byId("detail").textContent = f.what; });
        f.g.addEventListener("mouseout", () => { byId("detail").textContent = ""; });
    }
    byId("search").addEventListener("input", search);
    document.addEventListener("keydown", (event) => {
        if (event.key === "Escape") {
            byId("search").value = "";
            zoom(all);
        } else if (event.key === "/" && event.target !== byId("search")) {
            event.preventDefault();
            byId("search").focus();
        }
    });
    byId("hint").textContent = "click a frame to zoom, / to search, Esc for all";
})();
