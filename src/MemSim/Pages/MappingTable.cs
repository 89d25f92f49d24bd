using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>The objects that <c>page->mapping</c> can point at, by number: page frames are unmanaged and hold no references.</summary>
/// <remarks>A frame's <see cref="PageFrame.Mapping"/> is the number shifted left by two, with the kernel's low bits. Numbers are reused.</remarks>
internal sealed class MappingTable
{
    /// <summary>The page is anonymous (<c>PAGE_MAPPING_ANON</c>).</summary>
    public const uint Anonymous = 1;

    /// <summary>The page belongs to a driver that can move it (<c>PAGE_MAPPING_MOVABLE</c>).</summary>
    public const uint Movable = 2;

    /// <summary>The page was merged with equal ones (<c>PAGE_MAPPING_KSM</c>): anonymous, and its owner is none that one address space has.</summary>
    public const uint Merged = Anonymous | Movable;

    // Guards _free, _next, KeepingOwners and changes of _owners, which is read without.
    private readonly Lock _lock = new();
    private readonly Stack<uint> _free = [];
    private object?[] _owners = new object?[64];
    private uint _next = 1;

    /// <summary>Owners that keep all their pages in memory: while there are none, nobody has to look whether a page's owner is one.</summary>
    public int KeepingOwners { get; private set; }

    /// <summary>An owner begins to keep its pages in memory, or ends it.</summary>
    public void NoteKeeping(bool keeps)
    {
        lock (_lock)
        {
            KeepingOwners += keeps ? 1 : -1;
        }
    }

    /// <summary>Gives an object a number above 0.</summary>
    public uint Add(object owner)
    {
        lock (_lock)
        {
            uint id = _free.TryPop(out uint freed) ? freed : _next++;
            if (id >= _owners.Length)
            {
                Array.Resize(ref _owners, _owners.Length * 2);
            }

            _owners[id] = owner;
            return id;
        }
    }

    /// <summary>Takes a number back; no page may name it any more.</summary>
    public void Remove(uint id)
    {
        lock (_lock)
        {
            _owners[id] = null;
            _free.Push(id);
        }
    }

    /// <summary>The owner a frame's <see cref="PageFrame.Mapping"/> names; null when it names none.</summary>
    public object? Find(uint mapping)
    {
        object?[] owners = Volatile.Read(ref _owners);
        uint id = IdOf(mapping);
        return id < owners.Length ? owners[id] : null;
    }

    /// <summary>The owner of a frame, when it is of this kind.</summary>
    public bool TryFind<T>(uint mapping, [NotNullWhen(true)] out T? owner)
        where T : class
    {
        owner = Find(mapping) as T;
        return owner is not null;
    }

    /// <summary>What a frame's <see cref="PageFrame.Mapping"/> holds for an owner.</summary>
    public static uint Value(uint id, uint bits = 0) => (id << 2) | bits;

    /// <summary>The number of the owner that a frame's <see cref="PageFrame.Mapping"/> names.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint IdOf(uint mapping) => mapping >> 2;

    /// <summary>Whether a frame's <see cref="PageFrame.Mapping"/> names the owner of anonymous memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsAnonymous(uint mapping) => (mapping & Anonymous) != 0;
}
