using System.Globalization;
using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Oracle.Tests.Processes;

/// <summary>Random programs whose pages a real ksmd merged (Data/vma/ksm.c): after each operation all figures of <c>/sys/kernel/mm/ksm</c>, those of each process, and which of its pages are one frame.</summary>
public class RecordedMergingTests
{
    private const ulong Arena = 0x100_0000_0000;
    private const int Pages = 24;

    [Fact]
    public void What_ksmd_merges_and_counts_is_6_18s()
    {
        (List<string> wrong, int compared) = Compare(KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(7_000);
    }

    /// <summary>The first difference of each program, and how many lines were compared.</summary>
    internal static (List<string> Wrong, int Compared) Compare(KernelPersonality rules, int programs = int.MaxValue)
    {
        using StreamReader lines = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "vma", "ksm-6.18.txt.gz")), CompressionMode.Decompress));
        List<string> wrong = [];
        int compared = 0;
        Merged? run = null;
        string program = "";
        string before = "";
        while (lines.ReadLine() is { } line)
        {
            if (line.StartsWith("program", StringComparison.Ordinal))
            {
                run?.Dispose();
                if (programs-- == 0)
                {
                    return (wrong, compared);
                }

                run = new Merged(rules, line.Split(' '));
                program = before = line;
                continue;
            }

            if (run is null)
            {
                continue;
            }

            compared++;
            int answer = line.IndexOf(" = ", StringComparison.Ordinal);
            string here = run.Do(line[..answer]);
            if (here != line)
            {
                wrong.Add($"{program}\n  before:   {before}\n  recorded: {line}\n  here:     {here}");
                run.Dispose();
                run = null;
            }

            before = line;
        }

        run?.Dispose();
        return (wrong, compared);
    }

    private sealed class Merged : IDisposable
    {
        private readonly Machine _machine;
        private readonly Cpu _cpu;
        private readonly Process?[] _agents = new Process?[4];
        private readonly long _skipped;
        private readonly long _scanned;

        public Merged(KernelPersonality rules, string[] program)
        {
            _machine = Machine.Boot(MachineSpec.X86_64("128M").WithPersonality(rules));
            _cpu = _machine.Cpus[0];
            _machine.Ksm.PagesToScan = 100_000;
            _machine.Ksm.ChainsPrune = TimeSpan.FromMinutes(10);
            _machine.Ksm.UseZeroPages = program[3] == "1";
            _machine.Ksm.SmartScan = program[5] == "1";
            _machine.Ksm.MaxPageSharing = int.Parse(program[7], CultureInfo.InvariantCulture);
            _machine.Ksm.Run = KsmRun.Run;

            // The recorder's own empty area: ksmd always has somebody to look at.
            Process recorder = Create("recorder");
            VirtualAddress own = recorder.Mm.Mmap(4096, Prot.Read | Prot.Write);
            recorder.Mm.Madvise(own, 4096, MemoryAdvice.Mergeable).Should().Be(Errno.None);
            Scan(2);
            _skipped = _machine.Ksm.PagesSkipped;
            _scanned = _machine.Ksm.PagesScanned;
            _agents[0] = Create("agent");
            _ = Map(0, 0, Pages);
            Mm(0).Madvise(At(0), Pages << 12, MemoryAdvice.Mergeable).Should().Be(Errno.None);
        }

        public string Do(string operation)
        {
            string[] words = operation.Split(' ');
            int[] numbers = [.. words.Skip(1).Select(word => int.Parse(word, CultureInfo.InvariantCulture))];
            string answer = words[0] switch
            {
                "w" => Fill(numbers[0], numbers[1], numbers[2], numbers[3]),
                "b" => WriteByte(numbers[0], numbers[1], numbers[2], (byte)numbers[3]),
                "r" => Read(numbers[0], numbers[1]),
                "k" => Scan(numbers[0]),
                "m" => Map(numbers[0], numbers[1], numbers[2]),
                "u" => Text(Mm(numbers[0]).Munmap(At(numbers[1]), (long)numbers[2] << 12)),
                "M" => Text(Mm(numbers[0]).Madvise(At(numbers[1]), (long)numbers[2] << 12, MemoryAdvice.Mergeable)),
                "U" => Text(Mm(numbers[0]).Madvise(At(numbers[1]), (long)numbers[2] << 12, MemoryAdvice.Unmergeable)),
                "D" => Text(Mm(numbers[0]).Madvise(At(numbers[1]), (long)numbers[2] << 12, MemoryAdvice.DontNeed)),
                "R" => Text(Mm(numbers[0]).Mremap(At(numbers[1]), (long)numbers[2] << 12, (long)numbers[2] << 12, RemapFlags.MayMove | RemapFlags.Fixed, At(numbers[3])).Error),
                "f" => Fork(numbers[0], numbers[1]),
                "x" => Exit(numbers[0]),
                _ => TakeApart(),
            };
            int kept = words[0] switch { "r" => 2, "m" or "u" or "M" or "U" or "D" => 3, "R" => 4, "2" => 0, _ => words.Length - 1 };
            return string.Join(' ', words.Take(kept + 1)) + answer + State();
        }

        public void Dispose()
        {
            _machine.Verify();
            _machine.Dispose();
        }

        private static VirtualAddress At(int page) => new(Arena + ((ulong)page << 12));

        private static string Text(Errno errno) => string.Create(CultureInfo.InvariantCulture, $" {(int)errno}");

        private MemoryDescriptor Mm(int agent) => _agents[agent]!.Mm;

        private Process Create(string name) => _machine.CreateProcess(name, new Rlimits { IsAdmin = true });

        private string Map(int agent, int page, int pages) =>
            Text(Mm(agent).Mmap(At(page), (long)pages << 12, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous | MapFlags.Fixed).Error);

        private string Fill(int agent, int page, int pages, int value)
        {
            using (_cpu.Run(_agents[agent]!))
            {
                for (int i = page; i < page + pages; i++)
                {
                    if (Mm(agent).FindVma(At(i)) is not { } vma || vma.Start.Value > At(i).Value)
                    {
                        continue;
                    }

                    for (int word = 0; word < 512; word++)
                    {
                        _cpu.Write(At(i) + (ulong)(word << 3), (ulong)value * (ulong)(word + 1));
                    }
                }
            }

            return "";
        }

        private string WriteByte(int agent, int page, int offset, byte value)
        {
            using (_cpu.Run(_agents[agent]!))
            {
                _cpu.Write(At(page) + (ulong)offset, value);
            }

            return "";
        }

        private string Read(int agent, int page)
        {
            using (_cpu.Run(_agents[agent]!))
            {
                return string.Create(CultureInfo.InvariantCulture, $" {_cpu.Read<byte>(At(page))}");
            }
        }

        private string Scan(int rounds)
        {
            for (int i = 0; i < rounds; i++)
            {
                _machine.Ksm.Scan(_cpu);
            }

            return "";
        }

        private string Fork(int agent, int child)
        {
            _agents[child] = _agents[agent]!.Fork().Value;
            return "";
        }

        private string Exit(int agent)
        {
            _agents[agent]!.Exit();
            _agents[agent] = null;
            return "";
        }

        private string TakeApart()
        {
            _machine.Ksm.Run = KsmRun.Unmerge;
            _machine.Ksm.Run = KsmRun.Run;
            Scan(1);
            return " 0";
        }

        private string State()
        {
            KsmSettings ksm = _machine.Ksm;
            StringBuilder text = new();
            text.Append(CultureInfo.InvariantCulture, $" = {ksm["pages_shared"]} {ksm["pages_sharing"]} {ksm["pages_unshared"]} {ksm["pages_volatile"]} {ksm["ksm_zero_pages"]} {ksm.PagesSkipped - _skipped} {ksm.PagesScanned - _scanned} {ksm["stable_node_chains"]} {ksm["stable_node_dups"]}");
            Dictionary<int, char> letters = [];
            for (int agent = 0; agent < _agents.Length; agent++)
            {
                if (_agents[agent] is not { } process)
                {
                    continue;
                }

                string[] stat = process.KsmStat.Split('\n');
                string kib = process.SmapsRollup.Split('\n').Single(line => line.StartsWith("KSM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
                text.Append(CultureInfo.InvariantCulture, $" | {agent} {stat[0].Split(' ')[1]} {stat[1].Split(' ')[1]} {stat[2].Split(' ')[1]} {int.Parse(kib, CultureInfo.InvariantCulture) / 4} ");
                foreach (ulong word in process.PageMap(At(0), Pages))
                {
                    int pfn = (int)(word & ((1UL << 55) - 1));
                    if (word >> 63 == 0)
                    {
                        text.Append('.');
                    }
                    else if (pfn == _machine.Mm!.ZeroPfn)
                    {
                        text.Append('z');
                    }
                    else
                    {
                        if (!letters.TryGetValue(pfn, out char letter))
                        {
                            int i = letters.Count;
                            letters[pfn] = letter = (char)(i < 26 ? 'a' + i : i < 52 ? 'A' + i - 26 : '0' + i - 52);
                        }

                        text.Append(_machine.Frames.Array[pfn].IsMerged ? 'K' : 'a').Append(letter);
                    }
                }
            }

            return text.Append(CultureInfo.InvariantCulture, $" | {_machine.Events[Statistics.VmEvent.CowKsm]}").ToString();
        }
    }
}
