using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Lru;
using MemSim.PageCache;
using Xunit;

namespace MemSim.Tests.Filesystems;

/// <summary>Files against arrays of bytes.</summary>
public class FileModelTests
{
    private const int PageSize = FileMachine.PageSize;

    [Fact]
    public void Any_sequence_of_operations_leaves_the_bytes_that_were_written()
    {
        Gen<int[]> sequences = Gen.Choose(0, int.MaxValue).ArrayOf();
        Prop.ForAll(sequences.ToArbitrary(), sequence =>
        {
            using FileMachine m = new(disk: "1M");
            Model model = new(m);
            foreach (int step in sequence)
            {
                model.Step((uint)step * 2654435761u);
            }

            m.Machine.Verify();
            model.CheckAll();
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(25).WithEndSize(150));
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(4711u)]
    public void Thirty_thousand_operations_leave_the_bytes_that_were_written_and_nothing_else(uint seed)
    {
        using FileMachine m = new(disk: "1M");
        long free = m.Files.FreePages;
        Model model = new(m);
        uint random = seed;
        for (int i = 0; i < 30_000; i++)
        {
            random = Next(random);
            model.Step(random);
            if (i % 10_000 == 0)
            {
                m.Machine.Verify();
            }
        }

        m.Machine.Verify();
        model.CheckAll();
        model.DeleteAll();
        m.Files.FreePages.Should().Be(free);
        m.Counters.FilePages.Should().Be(0);
        m.Counters.Dirty.Should().Be(0);
        m.Machine.Files.PageCache.Nodes.InUse.Should().Be(0);
        m.Machine.Zones.Sum(z => z.Counters.WritePending).Should().Be(0);
    }

    /// <summary>Every allocation on the way fails once: memory is used up, and then one page more is given back each time.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Running_out_of_memory_at_any_step_breaks_nothing(bool write)
    {
        using FileMachine m = new();
        OpenFile file = m.FileOnDisk(200);
        m.Machine.Lru.DrainAll();
        m.Machine.Memory.DrainAllPages();
        List<Page> hog = m.Cpu.AllocateAll(Gfp.Kernel);
        hog.AddRange(m.Cpu.AllocateAll(Gfp.HighUserMovable));
        bool succeeded = false;
        int failures = 0;
        byte[] buffer = new byte[3 * PageSize];
        for (int round = 0; !succeeded && round < 400; round++)
        {
            Result<int> result = write ? m.Cpu.Files.Write(file, 100 * PageSize, buffer) : m.Cpu.Files.Read(file, 70 * PageSize, buffer);
            succeeded = result.Succeeded && result.Value == buffer.Length;
            failures += succeeded ? 0 : 1;
            (result.Succeeded || result.Error == Errno.ENOMEM).Should().BeTrue();
            _ = m.Cpu.Files.Fsync(file);
            m.Machine.Files.DropCaches(1);
            file.File.CachedPages.Should().Be(0);
            if (round % 10 == 0)
            {
                m.Machine.Verify();
            }

            m.Cpu.FreePage(hog[^1]);
            hog.RemoveAt(hog.Count - 1);
            m.Machine.Memory.DrainAllPages();
        }

        succeeded.Should().BeTrue();
        failures.Should().BePositive();
        m.Cpu.Pages.FreePagesBulk(hog.ToArray());
        m.ReadPage(file, 199).Should().Be(200);
    }

    private static uint Next(uint random)
    {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        return random;
    }

    private sealed class Model
    {
        private const int MaxPages = 70;
        private readonly FileMachine _m;
        private readonly TmpFileSystem _tmp;
        private readonly OpenFile[] _files = new OpenFile[3];
        private readonly byte[][] _bytes = [[], [], []];
        private readonly byte[] _buffer = new byte[MaxPages * PageSize];
        private uint _random = 1;

        public Model(FileMachine m)
        {
            _m = m;
            _tmp = m.Machine.Files.MountTmpfs("1M");
            for (int i = 0; i < _files.Length; i++)
            {
                _files[i] = Make(i);
            }
        }

        public void Step(uint random)
        {
            _random = random | 1;
            int which = Pick(3);
            OpenFile file = _files[which];
            switch (Pick(20))
            {
                case 0 or 1 or 2 or 3 or 4 or 5:
                    Write(which);
                    break;
                case 6 or 7 or 8 or 9:
                    int offset = Pick(MaxPages * PageSize);
                    Check(which, offset, Pick(4 * PageSize) + 1);
                    break;
                case 10:
                    int size = Pick(MaxPages * PageSize);
                    _m.Cpu.Files.Truncate(file, size).Should().Be(Errno.None);
                    Array.Resize(ref _bytes[which], size);
                    break;
                case 11:
                    int from = Pick(MaxPages * PageSize);
                    int length = Pick(8 * PageSize) + 1;
                    _m.Cpu.Files.PunchHole(file, from, length).Should().Be(Errno.None);
                    Array.Clear(_bytes[which], Math.Min(from, _bytes[which].Length), Math.Max(0, Math.Min(length, _bytes[which].Length - from)));
                    break;
                case 12:
                    _m.Cpu.Files.Fsync(file).Should().Be(Errno.None);
                    break;
                case 13:
                    _m.Machine.Files.DropCaches(1);
                    break;
                case 14:
                    _m.Machine.AdvanceTime(TimeSpan.FromSeconds(Pick(60)));
                    break;
                case 15:
                    if (Pick(8) == 0)
                    {
                        Delete(which);
                        _files[which] = Make(which);
                        _bytes[which] = [];
                    }

                    break;
                case 16:
                    _m.Disk.HoldsWrites = !_m.Disk.HoldsWrites;
                    break;
                case 17:
                    Fault(which);
                    break;
                default:
                    ReclaimOrMove(which);
                    break;
            }
        }

        public void CheckAll()
        {
            for (int i = 0; i < _files.Length; i++)
            {
                Check(i, 0, _buffer.Length);
            }

            _m.Cpu.Files.Sync();
            _m.Machine.Files.DropCaches(1);
            for (int i = 0; i < _files.Length; i++)
            {
                Check(i, 0, _buffer.Length);
            }
        }

        public void DeleteAll()
        {
            for (int i = 0; i < _files.Length; i++)
            {
                Delete(i);
            }
        }

        private OpenFile Make(int which) => ((SimFileSystem)(which == 2 ? _tmp : _m.Files)).Create($"f{which}").Value;

        private void Delete(int which)
        {
            _files[which].File.FileSystem.Delete(_m.Cpu, $"f{which}").Should().Be(Errno.None);
            _files[which].Close(_m.Cpu);
        }

        private void Write(int which)
        {
            int offset = Pick(MaxPages * PageSize);
            int length = Math.Min(Pick(3 * PageSize) + 1, (MaxPages * PageSize) - offset);
            Span<byte> bytes = _buffer.AsSpan(0, length);
            for (int i = 0; i < length; i++)
            {
                bytes[i] = (byte)(_random + (uint)i);
            }

            _m.Cpu.Files.Write(_files[which], offset, bytes).Value.Should().Be(length);
            if (_bytes[which].Length < offset + length)
            {
                Array.Resize(ref _bytes[which], offset + length);
            }

            bytes.CopyTo(_bytes[which].AsSpan(offset));
        }

        private void Check(int which, int offset, int length)
        {
            length = Math.Min(length, _buffer.Length);
            int expected = Math.Max(0, Math.Min(length, _bytes[which].Length - offset));
            int read = _m.Cpu.Files.Read(_files[which], offset, _buffer.AsSpan(0, length)).Value;
            read.Should().Be(expected);
            _buffer.AsSpan(0, read).SequenceEqual(_bytes[which].AsSpan(Math.Min(offset, _bytes[which].Length), read)).Should().BeTrue($"file {which} at {offset}, {read} bytes");
        }

        /// <summary>A mapping that reads a page and perhaps writes to it.</summary>
        private void Fault(int which)
        {
            FileMapping mapping = _files[which].Mapping;
            int index = Pick(MaxPages);
            FaultResultIsRight(mapping.GetPageForFault(_m.Cpu, (uint)index, out int pfn, _files[which]), index, which);
            if (pfn < 0)
            {
                return;
            }

            if (Pick(2) == 0)
            {
                mapping.PageMkWrite(_m.Cpu, pfn).Should().BeTrue();
                int at = Math.Min(PageSize - 1, _bytes[which].Length - 1 - (index * PageSize));
                _m.Machine.Ram.Frame(pfn)[at] = 0xA5;
                _bytes[which][(index * PageSize) + at] = 0xA5;
            }

            _m.Machine.Lru.Put(_m.Cpu, pfn);
        }

        private void FaultResultIsRight(FaultResult result, int index, int which) =>
            ((result & FaultResult.SigBus) != 0).Should().Be(index >= (_bytes[which].Length + PageSize - 1) / PageSize);

        /// <summary>What reclaim and compaction do to a page.</summary>
        private void ReclaimOrMove(int which)
        {
            int pfn = _files[which].Mapping.Find((uint)Pick(MaxPages));
            if (pfn < 0)
            {
                return;
            }

            Machine machine = _m.Machine;
            machine.Lru.DrainAll();
            if (!machine.Lru.Isolate(pfn))
            {
                return;
            }

            Page page = machine.GetPage(new Pfn(pfn));
            page.SetFlags(PageFlags.Locked);
            if (Pick(3) == 0)
            {
                int to = _m.Cpu.AllocPage(Gfp.HighUserMovable).FrameIndex;
                if (PageCacheOwners.MoveMapping(_m.Cpu, pfn, to))
                {
                    machine.Ram.ReadOnly((ulong)pfn << 12, PageSize).CopyTo(machine.Ram.Frame(to));
                    machine.GetPage(new Pfn(to)).SetFlags(page.Flags & PageFlags.UpToDate);
                    page.ClearFlags(PageFlags.Locked);
                    machine.Lru.Put(_m.Cpu, pfn);
                    machine.Lru.PutBack(_m.Cpu, to);
                    return;
                }

                _m.Cpu.FreePage(machine.GetPage(new Pfn(to)));
            }

            if ((page.Flags & (PageFlags.Dirty | PageFlags.Writeback)) == PageFlags.Dirty)
            {
                PageCacheOwners.PageOut(_m.Cpu, pfn).Should().BeOneOf(PageOutOutcome.Success, PageOutOutcome.Activate);
            }

            bool removed = PageCacheOwners.RemoveFromCache(_m.Cpu, pfn);
            page.ClearFlags(PageFlags.Locked);
            if (removed)
            {
                machine.Lru.Put(_m.Cpu, pfn);
            }
            else
            {
                machine.Lru.PutBack(_m.Cpu, pfn);
            }
        }

        private int Pick(int below)
        {
            _random = Next(_random);
            return (int)(_random % (uint)below);
        }
    }
}
