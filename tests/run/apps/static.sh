# SPDX-License-Identifier: BSD-2-Clause
# A static binary (Go, Rust, C: what is here), which makes its system calls itself, does file work.
app_static() {
	local some=
	if command -v go >/dev/null; then
		static_go
		some=1
	fi
	local rustc
	rustc=$(command -v rustc || echo /root/.cargo/bin/rustc)
	if [ -x "$rustc" ] && static_rust "$rustc"; then some=1; fi
	if command -v gcc >/dev/null && static_c; then some=1; fi
	[ -n "$some" ] || skip "no compiler here"
}

static_go() {
	mkdir go
	cat >go/main.go <<-'END'
		package main
		import ("fmt"; "io"; "os"; "os/exec"; "path/filepath"; "sync")
		func check(err error) { if err != nil { fmt.Println(err); os.Exit(1) } }
		func main() {
			check(os.MkdirAll("gowork/a/b", 0755))
			var wg sync.WaitGroup
			for i := 0; i < 50; i++ {
				wg.Add(1)
				go func(i int) {
					defer wg.Done()
					name := fmt.Sprintf("gowork/a/%d", i)
					check(os.WriteFile(name, make([]byte, i*1000), 0644))
					b, err := os.ReadFile(name)
					check(err)
					if len(b) != i*1000 { check(fmt.Errorf("%d bytes", len(b))) }
					check(os.Rename(name, name+".moved"))
				}(i)
			}
			wg.Wait()
			in, err := os.Open("gowork/a/49.moved")
			check(err)
			out, err := os.Create("gowork/copy")
			check(err)
			n, err := io.Copy(out, in)
			check(err)
			in.Close() // libfuse renames what is removed while it is open
			out.Close()
			files := 0
			check(filepath.Walk("gowork", func(p string, i os.FileInfo, err error) error { if err == nil && !i.IsDir() { files++ }; return err }))
			text, err := exec.Command("/bin/cat", "go/main.go").Output()
			check(err)
			check(os.RemoveAll("gowork"))
			fmt.Println(n, files, len(text) > 100)
		}
	END
	(cd go && CGO_ENABLED=0 GOFLAGS=-mod=mod GO111MODULE=off GOCACHE="$SCRATCH/gocache" HOME="$SCRATCH" go build -o ../go.bin main.go)
	is "$(./go.bin)" "49000 51 true" "the Go program"
	chmod -R u+w "$SCRATCH/gocache" && rm -rf "$SCRATCH/gocache"
}

static_rust() {
	cat >main.rs <<-'END'
		use std::{fs, io::{Read, Seek, SeekFrom, Write}, thread};
		fn main() -> std::io::Result<()> {
			fs::create_dir_all("rswork/a")?;
			let all: Vec<_> = (0..20).map(|i| thread::spawn(move || fs::write(format!("rswork/a/{i}"), vec![7u8; i * 999]))).collect();
			for t in all { t.join().unwrap()?; }
			let mut f = fs::OpenOptions::new().read(true).write(true).open("rswork/a/9")?;
			f.seek(SeekFrom::End(0))?;
			f.write_all(b"end")?;
			f.seek(SeekFrom::Start(8991))?;
			let mut s = String::new();
			f.read_to_string(&mut s)?;
			let n = fs::copy("rswork/a/9", "rswork/b")?;
			let count = fs::read_dir("rswork/a")?.count();
			drop(f);
			fs::remove_dir_all("rswork")?;
			println!("{s} {n} {count}");
			Ok(())
		}
	END
	"$1" -C target-feature=+crt-static --target x86_64-unknown-linux-musl -o rust.bin main.rs 2>/dev/null ||
		"$1" -C target-feature=+crt-static -o rust.bin main.rs || return 1
	is "$(./rust.bin)" "end 8994 20" "the Rust program"
}

static_c() {
	cat >main.c <<-'END'
		#include <fcntl.h>
		#include <stdio.h>
		#include <string.h>
		#include <sys/stat.h>
		#include <unistd.h>
		int main(void)
		{
			char buf[10] = "";
			int fd;
			struct stat st;
			if (mkdir("cwork", 0755) || (fd = open("cwork/f", O_RDWR | O_CREAT, 0644)) < 0 || write(fd, "static", 6) != 6 ||
			    pread(fd, buf, 9, 0) != 6 || strcmp(buf, "static") || fstat(fd, &st) || st.st_size != 6 || close(fd) ||
			    rename("cwork/f", "cwork/g") || unlink("cwork/g") || rmdir("cwork"))
				return perror("cwork"), 1;
			puts("done");
		}
	END
	gcc -static -o c.bin main.c || return 1
	is "$(./c.bin)" "done" "the C program"
}
