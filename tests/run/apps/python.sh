# SPDX-License-Identifier: BSD-2-Clause
# python3: a tree as of a virtual environment, imports, compileall, processes that share a file.
app_python() {
	local python
	unset PYTHONDONTWRITEBYTECODE
	python=$(python3 -c 'import sys; print(sys.executable)') || skip "no python3 here"
	"$python" -m venv --without-pip --copies env 2>/dev/null || "$python" -m venv --without-pip env
	is "$(env/bin/python -c 'import sys; print(sys.prefix)')" "$PWD/env" "sys.prefix"
	local site i
	site=$(echo env/lib/python3.*/site-packages)
	mkdir "$site/pack"
	: >"$site/pack/__init__.py"
	for ((i = 0; i < $(amount 200 30); i++)); do echo "value = $i" >"$site/pack/m$i.py"; done
	env/bin/python - <<-END
		import importlib, pack
		print(sum(importlib.import_module(f'pack.m{i}').value for i in range($i)))
	END
	is "$(ls "$site/pack/__pycache__" | wc -l)" $((i + 1)) "files of byte code"
	env/bin/python -m compileall -q -f -j 2 "$site/pack"
	cat >work.py <<-'END'
		import fcntl, json, mmap, multiprocessing, os, pathlib, shutil, sys, tempfile, zipfile
		top = pathlib.Path('py')
		top.mkdir()
		def one(n):
		    for i in range(20):
		        (top / f'{n}-{i}').write_text('x' * n)
		        with open(top / 'shared', 'a+') as f:
		            fcntl.flock(f, fcntl.LOCK_EX)
		            f.seek(0)
		            lines = len(f.readlines())
		            f.write(f'{lines}\n')
		    return n
		if __name__ == '__main__':
		    with multiprocessing.Pool(4) as pool:
		        assert sum(pool.map(one, range(8))) == 28
		    lines = (top / 'shared').read_text().split()
		    assert lines == [str(i) for i in range(160)], (len(lines), [x for x in enumerate(lines) if x[1] != str(x[0])][:5])
		    assert len(list(top.glob('*-*'))) == 160
		    with tempfile.TemporaryDirectory(dir='.') as t, zipfile.ZipFile(t + '/z.zip', 'w') as z:
		        for p in top.iterdir():
		            z.write(p)
		        assert z.testzip() is None
		    shutil.copytree(top, 'copied')
		    with open('mapped', 'w+b') as f:
		        f.truncate(10000)
		        if 'mmap' not in os.environ.get('LACKS', ''):
		            with mmap.mmap(f.fileno(), 0) as m:
		                m[5000:5005] = b'hello'
		            f.seek(5000)
		            assert f.read(5) == b'hello'
		    os.replace('mapped', 'replaced')
		    shutil.rmtree(top)
		    for path, dirs, files in os.walk('.'):
		        for name in files:
		            os.stat(os.path.join(path, name))
		    print('done')
	END
	is "$(env/bin/python work.py)" done "the program"
	"$python" -c 'import sys; sys.path.insert(0, "z.zip"); import zipfile
	z = zipfile.ZipFile("z.zip", "w"); z.writestr("inzip.py", "v = 5"); z.close(); import inzip; assert inzip.v == 5' 2>/dev/null ||
		"$python" -c 'import zipfile; z = zipfile.ZipFile("z.zip", "w"); z.writestr("inzip.py", "v = 5"); z.close()'
	PYTHONPATH=z.zip "$python" -c 'import inzip; assert inzip.v == 5'
}
