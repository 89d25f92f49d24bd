#!/usr/bin/env bash
# ELFSharp 2.17.3 (NuGet) on an ELF vmcore as the crash kernel exports it: 64 sections that are not there, and the notes after the first one cannot be reached.
#
# Guess before the run: no sections, as e_shoff and e_shnum are 0; the PT_NOTE segment gives all notes, VMCOREINFO (release, page size, symbols) among them.
# Seen: e_shnum 0 is taken for "more than 65279 sections, see section header 0" though there is no section header table; the header read in its place is the ELF header itself, whose
# e_phoff is where a section has its size: 64 sections, all with a load address of 0x1003E0004, while HasSectionHeader says False. NoteSegment has the name, type and
# description of one note, and a vmcore begins with a NT_PRSTATUS for each CPU. No error in either case. LibObjectFile 2.3.1 and readelf find no section in it.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >make.py <<'CODE'
import struct

def note(name, kind, body):
    return struct.pack("<III", len(name) + 1, len(body), kind) + (name + b"\0").ljust((len(name) + 4) // 4 * 4, b"\0") + body.ljust((len(body) + 3) // 4 * 4, b"\0")

info = b"OSRELEASE=7.3.0\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82a1b4c0\nNUMBER(pageblock_order)=9\nLENGTH(zone.free_area)=11\n"
notes = note(b"CORE", 1, bytes(336)) + note(b"VMCOREINFO", 0, info)
start = 64 + 2 * 56
header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
segments = struct.pack("<IIQQQQQQ", 4, 0, start, 0, 0, len(notes), len(notes), 0)
segments += struct.pack("<IIQQQQQQ", 1, 7, 4096, 0xFFFF888000001000, 4096, 4096, 4096, 0)
open("vmcore", "wb").write((header + segments + notes).ljust(4096, b"\0") + bytes(4096))
CODE
python3 make.py
cat >probe.csproj <<'XML'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework></PropertyGroup>
  <ItemGroup><PackageReference Include="ELFSharp" Version="2.17.3" /><PackageReference Include="LibObjectFile" Version="2.3.1" /></ItemGroup>
</Project>
XML
cat >Program.cs <<'CODE'
using System.Linq;

using ELFSharp.ELF.IELF core = ELFSharp.ELF.ELFReader.Load("vmcore");
System.Console.WriteLine($"ELFSharp: {core.Segments.Count} segments, has section headers: {core.HasSectionHeader}, sections: {core.Sections.Count()}");
var notes = core.Segments.OfType<ELFSharp.ELF.Segments.NoteSegment<ulong>>().Single();
System.Console.WriteLine($"ELFSharp: the note of the segment is {notes.NoteName}, type {notes.NoteType}, {notes.NoteDescription.Length} bytes");
using var file = System.IO.File.OpenRead("vmcore");
System.Console.WriteLine($"LibObjectFile: {LibObjectFile.Elf.ElfFile.Read(file).Sections.Count} sections");
CODE
dotnet run -c Release 2>errors | tee seen
readelf -n vmcore | grep -E 'CORE|VMCOREINFO' || true
diff - seen <<'TEXT' || { echo "CHANGED"; exit 1; }
ELFSharp: 2 segments, has section headers: False, sections: 64
ELFSharp: the note of the segment is CORE, type 1, 336 bytes
LibObjectFile: 0 sections
TEXT
