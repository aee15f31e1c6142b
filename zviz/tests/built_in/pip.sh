# A wheel that is made here, into an environment of its own.
python3 - <<'PYTHON'
import zipfile
with zipfile.ZipFile("small-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("small.py", "def main():\n    print('small')\n")
    info = "small-1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\nsmall = small:main\n")
    wheel.writestr(info + "RECORD", "small.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
PYTHON
python3 -m venv venv
venv/bin/pip install -q --no-index --disable-pip-version-check ./small-1.0-py3-none-any.whl
[ "$(venv/bin/small)" = small ]
echo done
