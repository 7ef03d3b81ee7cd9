"""The little CSS that Streamlit's theme cannot say: less empty space, figures that never wrap."""

_ALWAYS = """
.stMainBlockContainer {padding: 4rem 2rem 3rem}
@media (max-width: 640px) {.stMainBlockContainer {padding: 3.6rem 1rem 3rem}}
[data-testid="stSidebarHeader"] {height: 2.6rem; padding-bottom: 0; margin-bottom: 0}
[data-testid="stSidebarUserContent"] {padding-bottom: 2rem}
.st-key-header {gap: .9rem; margin-bottom: -.6rem}
.st-key-scale {position: sticky; top: 3.75rem; z-index: 90; padding: .3rem 0; flex-wrap: nowrap;
  backdrop-filter: blur(14px)}
.figures {display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr));
  gap: .6rem .5rem}
.figures > div {border-left: 4px solid #0072B2; padding-left: .6rem; line-height: 1.35}
.figures > div > div {font-size: .86rem; white-space: nowrap}
.figures > div > .value {font-size: 1.6rem; font-weight: 600; font-variant-numeric: tabular-nums}
.network {width: 100%; max-width: 1080px; display: block}
"""
_PRESENTING = "html {font-size: 23px !important} .network {max-width: none}"


def css(presenting: bool) -> str:
    """The style element; a presenter's type can be read from the last row."""
    return f"<style>{_ALWAYS}{_PRESENTING * presenting}</style>"
