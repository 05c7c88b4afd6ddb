// Names for the controls of ipywidgets: a slider there is a <div role="slider">, and its label stands beside it.
// Loaded on every page; it does something only where there are widgets.
(function () {
  "use strict";
  function name(root) {
    root.querySelectorAll(".jupyter-widgets").forEach(function (widget) {
      var label = widget.querySelector(".widget-label");
      var text = label && label.textContent.trim();
      widget.querySelectorAll('[role="slider"], [role="spinbutton"], [contenteditable], select, input').forEach(function (control) {
        if (!control.getAttribute("aria-label") && !control.id) control.setAttribute("aria-label", text || "value");
        if (control.matches("[contenteditable]") && !control.getAttribute("role")) control.setAttribute("role", "textbox");
      });
    });
  }
  document.addEventListener("DOMContentLoaded", function () {
    if (!document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) return;
    // The widget manager asks for formulas the way of MathJax 2.
    if (window.MathJax && !MathJax.Hub) {
      MathJax.Hub = {
        Queue: function (task) {
          MathJax.startup.promise.then(function () { return MathJax.typesetPromise([task[2]]); });
        },
      };
    }
    name(document);
    new MutationObserver(function () { name(document); }).observe(document.body, { childList: true, subtree: true });
  });
})();
