"""The little CSS that Streamlit's theme cannot say: less empty space, figures that never wrap."""

CSS = """
<style>
.stMainBlockContainer {padding: 4.4rem 2rem 3rem}
[data-testid="stSidebarHeader"] {height: 2.6rem; padding-bottom: 0; margin-bottom: 0}
[data-testid="stSidebarUserContent"] {padding-bottom: 2rem}
.figures {display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr));
  gap: .6rem .5rem}
.figures > div {border-left: 4px solid #0072B2; padding-left: .6rem; line-height: 1.35}
.figures > div > div {font-size: .86rem; white-space: nowrap}
.figures > div > .value {font-size: 1.6rem; font-weight: 600; font-variant-numeric: tabular-nums}
.network {width: 100%; max-width: 1080px; display: block}
</style>
"""
