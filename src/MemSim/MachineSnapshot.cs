using System.Text.Json;
using MemSim.Captures;
using MemSim.Hardware;
using MemSim.Observability;
using MemSim.Slab;

namespace MemSim;

/// <summary>The complete state of a machine at one moment: boot it as often as you like and try what would have happened.</summary>
/// <remarks>
/// Holds every list in its order, live blocks, counters, settings and, in memory, the contents of RAM and SLUB's caches with their objects. A file holds
/// neither contents nor objects. Sinks, reclaim and the execution context of CPUs are not part of it: a machine booted from a snapshot starts in process context.
/// What else the machine had is named by <see cref="NotCarried"/>; its pages stay allocated in the machine booted, where nobody can free them by other means.
/// </remarks>
public sealed class MachineSnapshot
{
    internal const string FileFormat = SnapshotDocument.FormatName;

    private readonly SnapshotDocument _document;
    private readonly PhysicalMemory? _contents;
    private readonly SlabImage? _slab;

    private MachineSnapshot(SnapshotDocument document, PhysicalMemory? contents, SlabImage? slab = null)
    {
        _slab = slab;
        _document = document;
        _contents = contents;
    }

    /// <summary>The page allocator's state as plain data.</summary>
    public AllocatorState Allocator => _document.State;

    /// <summary>What the machine had that the snapshot does not hold, a sentence each; empty where it is complete.</summary>
    /// <remarks>A machine booted from the snapshot has all of these in the state they have after boot, and refuses addresses from before.</remarks>
    public IReadOnlyList<string> NotCarried => _slab is null ? _document.NotCarried : [.. _document.NotCarried.Where(m => m != SnapshotBuilder.SlabLayer)];

    /// <summary>Boots a machine that goes on from this moment; each call gives an independent one.</summary>
    /// <exception cref="FormatException">The snapshot came from a file that contradicts itself.</exception>
    public Machine Boot()
    {
        Machine machine = SnapshotBuilder.Build(_document);
        if (_contents is not null)
        {
            machine.Ram.CopyFrom(_contents);
        }

        if (_slab is null && _document.NotCarried.Contains(SnapshotBuilder.SlabLayer))
        {
            SnapshotBuilder.ForgetSlabs(machine, _document);
        }

        // Page tables and stacks of the boot are made anew, in reserved frames, whatever the original had there.
        machine.BuildSubsystems(new SubsystemOptions { Slab = _slab?.Options ?? SlabParameters.Default });
        _slab?.Restore(machine);

        return machine;
    }

    /// <summary>Writes the snapshot to a file: JSON, packed when the name ends in <c>.gz</c>. Contents of RAM and the slab layer are not written.</summary>
    /// <param name="path">The file, which is replaced.</param>
    public void Save(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using FileStream file = File.Create(path);
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            using System.IO.Compression.GZipStream packed = new(file, System.IO.Compression.CompressionLevel.Optimal);
            JsonSerializer.Serialize(packed, _document, SnapshotJson.Default.SnapshotDocument);
            return;
        }

        JsonSerializer.Serialize(file, _document, SnapshotJson.Default.SnapshotDocument);
    }

    /// <summary>The snapshot of a machine whose page allocator is in a given state; all else is as after boot.</summary>
    /// <param name="state">The state: taken from another snapshot, or recorded inside a real kernel.</param>
    /// <exception cref="FormatException">The state contradicts itself.</exception>
    public static MachineSnapshot Of(AllocatorState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        using Machine machine = StateRestorer.Restore(state);
        return new MachineSnapshot(SnapshotBuilder.Capture(machine), null);
    }

    /// <summary>Reads a snapshot that <see cref="Save"/> wrote, packed or not.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file is missing, malformed, or contradicts itself.</exception>
    public static MachineSnapshot Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using StreamReader reader = InputFile.OpenText(path);
        string text = reader.ReadToEnd();
        try
        {
            SnapshotDocument document = JsonSerializer.Deserialize(text, SnapshotJson.Default.SnapshotDocument) ?? throw new FormatException("the file holds null");
            if (document.Version != SnapshotDocument.CurrentVersion || document.Format != SnapshotDocument.FormatName)
            {
                throw new FormatException($"format {document.Format} version {document.Version} is not {SnapshotDocument.FormatName} version {SnapshotDocument.CurrentVersion}");
            }

            return Checked(new MachineSnapshot(document, null), path);
        }
        catch (JsonException e)
        {
            throw new InputFileException(path, (int)(e.LineNumber ?? 0) + 1, e.Message, e);
        }
        catch (FormatException e)
        {
            throw new InputFileException(path, 0, e.Message, e);
        }
    }

    internal static MachineSnapshot Take(Machine machine)
    {
        PhysicalMemory? contents = null;
        if (machine.Ram.HasContents)
        {
            contents = new PhysicalMemory(machine.Frames.Count, hasContents: true, machine.Ram.Host);
            contents.CopyFrom(machine.Ram);
        }

        return new MachineSnapshot(SnapshotBuilder.Capture(machine), contents, SlabImage.Take(machine));
    }

    /// <summary>Boots a snapshot from a file once, so that one that contradicts itself is refused when it is read.</summary>
    private static MachineSnapshot Checked(MachineSnapshot snapshot, string path)
    {
        try
        {
            using Machine machine = snapshot.Boot();
            machine.Verify();
            return snapshot;
        }
        catch (NullReferenceException e)
        {
            // Elements of arrays may be null whatever their type says.
            throw new InputFileException(path, 0, "a list holds null where it needs a value", e);
        }
        catch (Exception e) when (e is FormatException or ArgumentException or KernelBugException or InvalidOperationException or IndexOutOfRangeException or OverflowException)
        {
            throw new InputFileException(path, 0, e.Message, e);
        }
    }
}
