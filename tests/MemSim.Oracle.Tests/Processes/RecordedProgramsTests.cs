using System.Globalization;
using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Kernels;
using Xunit;

namespace MemSim.Oracle.Tests.Processes;

/// <summary>
/// Random sequences of memory calls that a real kernel executed (Data/vma/record.c): each call's answer, then the areas of the arena with their flags, and for every page whether it is
/// mapped, by what, and whether by others too.
/// </summary>
/// <remarks>
/// The kernel was 6.18. In the first set the recorder kept away from where it is known to differ from 6.1, except for one rule about merging, which is chosen here; in the second from nothing.
/// </remarks>
public class RecordedProgramsTests
{
    private const ulong Arena = 0x100_0000_0000;
    private const int Pages = 32;
    private const int BusAddressError = 2;
    private const UserfaultFeatures Events = UserfaultFeatures.TellsForks | UserfaultFeatures.TellsMoves | UserfaultFeatures.TellsRemoves | UserfaultFeatures.TellsUnmaps;

    [Fact]
    public void Every_answer_and_every_state_is_the_kernels()
    {
        (List<string> wrong, int compared) = Compare("programs", KernelLines.Linux6_1 with { Areas = new AreaRules { MergesUntouched = true } });

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(30_000);
    }

    [Fact]
    public void Every_answer_and_every_state_is_6_18s_by_its_own_rules()
    {
        (List<string> wrong, int compared) = Compare("programs-6.18", KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(60_000);
    }

    [Fact]
    public void What_mincore_says_and_guards_and_later_advice_are_6_18s()
    {
        (List<string> wrong, int compared) = Compare("advice-6.18", KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(20_000);
    }

    [Fact]
    public void What_userfaultfd_does_is_6_18s()
    {
        (List<string> wrong, int compared) = Compare("faults-6.18", KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(20_000);
    }

    [Fact]
    public void What_userfaultfd_is_told_of_forks_moves_and_unmapping_is_6_18s()
    {
        (List<string> wrong, int compared) = Compare("events-6.18", KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(10_000);
    }

    [Fact]
    public void What_userfaultfd_protects_and_nobody_hears_of_is_6_18s()
    {
        (List<string> wrong, int compared) = Compare("async-6.18", KernelLines.Linux6_18);

        wrong.Should().BeEmpty();
        compared.Should().BeGreaterThan(20_000);
    }

    /// <summary>The first difference of each program that was recorded otherwise, and how many lines were compared.</summary>
    internal static (List<string> Wrong, int Compared) Compare(string recording, KernelPersonality rules)
    {
        using StreamReader lines = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "vma", recording + ".txt.gz")), CompressionMode.Decompress));
        List<string> program = [];
        List<string> wrong = [];
        int compared = 0;
        for (string? line = lines.ReadLine(); ; line = lines.ReadLine())
        {
            if ((line is null || line.StartsWith("program", StringComparison.Ordinal)) && program.Count != 0)
            {
                Run(program, rules, recording.StartsWith("events", StringComparison.Ordinal) ? Events : recording.StartsWith("async", StringComparison.Ordinal) ? UserfaultFeatures.ProtectsSilently : 0, wrong, ref compared);
                program.Clear();
            }

            if (line is null)
            {
                break;
            }

            program.Add(line);
        }

        return (wrong, compared);
    }

    private static void Run(List<string> program, KernelPersonality rules, UserfaultFeatures features, List<string> wrong, ref int compared)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithPersonality(rules));
        Recorded run = new(machine, features);
        for (int i = 1; i < program.Count; i++)
        {
            string line = program[i];
            bool isState = line[0] is 'S' or 'C';
            string here = isState ? line[0] + run.State(ofChild: line[0] == 'C') : line[0] == 'E' ? "E" + run.TakeHeard() : run.Do(line);
            compared++;
            if (line[0] is not ('C' or 'f') && i + 1 < program.Count && program[i + 1][0] != 'E')
            {
                here += run.TakeHeard();
            }

            if (here == line && !isState && IsFinished(line, i + 1 < program.Count ? program[i + 1] : ""))
            {
                // The recorder says only what changed.
                here = run.State(ofChild: false);
                line = run.Last;
            }

            if (here != line)
            {
                wrong.Add($"{program[0]}, line {i}: {program[i]}\n  after:    {program[i - 1]}\n  recorded: {line}\n  here:     {here}\n  before:   {run.Last}");
                break;
            }

            run.Last = line[0] == 'S' ? line[1..] : run.Last;
        }

        machine.Verify();
    }

    /// <summary>Whether no state is recorded after a call: nothing has changed then. Several accesses in a row are one step.</summary>
    private static bool IsFinished(string line, string next) => next == "" || !(next[0] is 'S' or 'C' or 'E' || (line[0] is 'r' or 'w' && next[0] is 'r' or 'w'));

    private sealed class Recorded
    {
        private readonly Cpu _cpu;
        private readonly Process _process;
        private readonly OpenFile[] _files;
        private readonly Userfaultfd _faults;
        private readonly StringBuilder _heard = new();
        private Process? _child;

        public Recorded(Machine machine, UserfaultFeatures features)
        {
            _cpu = machine.Cpus[0];
            _process = machine.CreateProcess("recorded", new Rlimits { MayLockAll = true, IsAdmin = true });
            _cpu.Run(_process);
            _faults = _process.Mm.OpenUserfaultfd(UserfaultFeatures.SigBus | features);
            _faults.Listener = Hear;
            TmpFileSystem tmpfs = machine.Files.MountTmpfs();
            _files = [tmpfs.Create("shared"), tmpfs.Open("shared", OpenMode.Read), tmpfs.Open("shared", OpenMode.Write)];
            _cpu.Files.Truncate(_files[0], 24 << 12).Should().Be(Errno.None);
        }

        public string Last { get; set; } = "|" + new string('.', Pages);

        private MemoryDescriptor Mm => _process.Mm;

        public string Do(string line)
        {
            string[] words = line.Split(' ');
            long[] n = [.. words.Skip(1).TakeWhile(w => w != "=").Select(w => long.Parse(w, CultureInfo.InvariantCulture))];
            string call = line[..line.IndexOf(" =", StringComparison.Ordinal)];
            VirtualAddress at = n.Length == 0 ? default : new VirtualAddress(Arena + (ulong)n[0]);
            ulong length = n.Length < 2 ? 0 : (ulong)n[1];
            switch (words[0])
            {
                case "mmap":
                    Result<VirtualAddress> mapped = Mm.Mmap(at, (long)length, (Prot)n[2], (MapFlags)n[3], n[4] < 0 ? null : _files[n[4]], n[5]);
                    return call + Answer(mapped, length);
                case "mremap":
                    return call + Answer(Mm.Mremap(at, (long)length, n[2], (RemapFlags)n[3], new VirtualAddress(Arena + (ulong)n[4])), (ulong)n[2]);
                case "munmap":
                    return call + Answer(Mm.Munmap(at, (long)length));
                case "mprotect":
                    return call + Answer(Mm.Mprotect(at, (long)length, (Prot)n[2]));
                case "madvise":
                    return call + Answer(Mm.Madvise(at, (long)length, (MemoryAdvice)n[2]));
                case "mincore":
                    byte[] vector = new byte[Pages];
                    vector.AsSpan().Fill(9);
                    Errno told = Mm.Mincore(at, (long)length, vector);
                    string bits = string.Concat(vector.TakeWhile(b => b != 9));
                    return call + Answer(told) + (bits.Length == 0 ? "" : " " + bits);
                case "process_madvise":
                    UserRange[] ranges = [new(at, (long)length), new(new VirtualAddress(Arena + (ulong)n[2]), 1 << 12)];
                    Result<long> advised = _process.ProcessMadvise(_process, ranges.AsSpan(0, (int)n[3]), (MemoryAdvice)n[4]);
                    return call + (advised.Succeeded ? $" = {advised.Value}" : Answer(advised.Error));
                case "uregister":
                    Result<UserfaultCalls> calls = _faults.Register(at, (long)length, (UserfaultModes)n[2]);
                    return call + Answer(calls.Error) + $" {(calls.Succeeded ? (long)calls.Value : 0):x}";
                case "uunregister":
                    return call + Answer(_faults.Unregister(at, (long)length));
                case "ucopy":
                    return call + Answer(_faults.Copy(at, new VirtualAddress(Arena + (ulong)n[2]), (long)length, n[3] == 2));
                case "uzero":
                    return call + Answer(_faults.ZeroPage(at, (long)length));
                case "uprotect":
                    return call + Answer(_faults.WriteProtect(at, (long)length, n[2] == 1));
                case "ucontinue":
                    return call + Answer(_faults.Continue(at, (long)length));
                case "umove":
                    return call + Answer(_faults.Move(at, new VirtualAddress(Arena + (ulong)n[2]), (long)length));
                case "mlock":
                    return call + Answer(n[2] == 2 ? Mm.Munlock(at, (long)length) : Mm.Mlock(at, (long)length, onFault: n[2] == 1));
                case "mlockall":
                    if (n[0] == 0)
                    {
                        Mm.MunlockAll();
                        return call + " = 0";
                    }

                    return call + Answer(Mm.MlockAll((LockAll)n[0]));
                case "msync":
                    return call + Answer(Mm.Msync(at, (long)length, (SyncFlags)n[2]));
                case "fork":
                    _child = _process.Fork();
                    return call + " = 0";
                default:
                    try
                    {
                        if (words[0] == "write")
                        {
                            _cpu.Write(at, (byte)7);
                        }
                        else
                        {
                            _cpu.Read<byte>(at);
                        }

                        return call + " = 0 0";
                    }
                    catch (SignalException signal)
                    {
                        return $"{call} = {(int)signal.SignalInfo.Signal} {(signal.SignalInfo.Signal == Signal.SIGBUS ? BusAddressError : (int)signal.SignalInfo.Code)}";
                    }
            }
        }

        /// <summary>What the descriptor was told since the last time.</summary>
        public string TakeHeard()
        {
            string heard = _heard.ToString();
            _heard.Clear();
            return heard;
        }

        private void Hear(UserfaultEvent told)
        {
            string name = told.Kind.ToString().ToLowerInvariant();
            _heard.Append(told.Kind switch
            {
                UserfaultEventKind.Fork => " " + name,
                UserfaultEventKind.Remap => $" {name} {Place(told.Start)} {Place(told.To)} {told.Length >> 12}",
                _ => $" {name} {Place(told.Start)} {told.Length >> 12}",
            });
        }

        private static string Place(VirtualAddress at) => at.Value is >= Arena and <= Arena + (Pages << 12) ? $"{(at.Value - Arena) >> 12}" : "out";

        /// <summary>The areas of the arena and what its pages are, as the recorder writes them.</summary>
        public string State(bool ofChild)
        {
            Process process = ofChild ? _child! : _process;
            StringBuilder text = new();
            bool inside = false;
            foreach (string line in process.Smaps.Split('\n'))
            {
                string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (words is [string range, string permissions, string offset, _, string inode, ..] && range.Contains('-'))
                {
                    ulong[] ends = [.. range.Split('-').Select(Hex)];
                    inside = ends[1] > Arena && ends[0] < Arena + (Pages << 12);
                    if (inside)
                    {
                        char kind = inode == "0" ? '-' : line.Contains("/dev/zero", StringComparison.Ordinal) ? 'z' : 'f';
                        text.Append(CultureInfo.InvariantCulture, $" {(long)(ends[0] - Arena) >> 12}-{(long)(ends[1] - Arena) >> 12} {permissions} {(kind == '-' ? 0 : Hex(offset) >> 12)} {kind}");
                    }
                }
                else if (inside && words is ["VmFlags:", ..])
                {
                    text.Append(string.Concat(words.Skip(1).Select(flag => "," + flag))).Append(';');
                }
            }

            text.Append('|');
            foreach (ulong word in process.PageMap(new VirtualAddress(Arena), Pages))
            {
                bool file = (word >> 61 & 1) != 0;
                bool alone = (word >> 56 & 1) != 0;
                bool isProtected = (word >> 57 & 1) != 0;
                char letter = (word >> 58 & 1) != 0 ? 'g' : word >> 63 == 0 ? (isProtected ? 'm' : '.') : file ? (isProtected ? 'v' : 'f') : isProtected ? 'w' : 'a';
                text.Append(word >> 63 != 0 && alone ? char.ToUpperInvariant(letter) : letter);
            }

            if (ofChild)
            {
                _child!.Exit();
                _child = null;
            }

            return text.ToString();
        }

        private static ulong Hex(string text) => ulong.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

        private string Answer(Result<VirtualAddress> result, ulong length)
        {
            if (!result.Succeeded)
            {
                return Answer(result.Error);
            }

            if (result.Value.Value is >= Arena and < Arena + (Pages << 12))
            {
                return $" = @{(result.Value.Value - Arena) >> 12}";
            }

            Mm.Munmap(result.Value, (long)length).Should().Be(Errno.None);
            return " = out";
        }

        private static string Answer(UserfaultResult result) => $"{Answer(result.Error)} {result.Bytes}";

        private static string Answer(Errno error) => error == Errno.None ? " = 0" : $" = -{(int)error}";
    }
}
