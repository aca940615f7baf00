// Before the first paint, hence no module: the choice of light or dark, if one was made.
document.documentElement.dataset.theme = localStorage.getItem("lsm.theme") ?? "auto";
